"""Previews are made one at a time in turns; a resource without one is admitted with a warning that says why."""

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.costly_resources import costly_distributed
from tests.support.examples import examples
from tests.support.golden import CASES
from tests.support.sample_pods import resource
from tests.support.server import environment
from webhook.admission.admission_review import decode, review_of
from webhook.admit import admit
from webhook.driver import drive, drive_async
from webhook.facts import Ref
from webhook.offline.file_facts import FileFacts
from webhook.policy.custom_resources import GROUP
from webhook.policy.preview import PodsOfResource, Preview, PreviewRequest
from webhook.server import previews as module
from webhook.server import worker
from webhook.server.frames import ANSWER, QUESTION
from webhook.server.preview_frames import decode_preview, encode_preview, encode_request
from webhook.server.previews import Previews
from webhook.server.worker_process import WorkerEndedError, WorkerStartError
from webhook.settings import Settings
from webhook.telemetry.log import Log

FOREVER = 3600.0
EMPTY = encode_preview(Preview((), "vmsingle: default"))


class FakeWorker:
    """Answers `(200, EMPTY)` or raises what it is given, once it may; remembers the namespaces in their order."""

    trouble = ""

    def __init__(self, answer=(200, EMPTY)):
        self.answer = answer
        self.asked = []
        self.may = asyncio.Event()
        self.most = self.running = 0

    async def ask(self, body, seconds):
        assert seconds == module.RUN_SECONDS
        self.running += 1
        self.most = max(self.most, self.running)
        self.asked.append(json.loads(body)["pods"]["resource"]["namespace"])
        await self.may.wait()
        self.running -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def stop(self):
        self.may.set()


def _request(namespace="mon", spec=None, had=None, minor=30):
    ref = Ref(GROUP, "v1beta1", "VMSingle", namespace, "db")
    return PreviewRequest(PodsOfResource(ref, spec or {}), had, Settings(), minor)


def _answers(requests, worker_of=FakeWorker, deadline=FOREVER):
    """The answers to requests that all wait before the first is answered, the worker, and the counted outcomes."""

    async def run():
        counts = Counter()
        fake = worker_of()
        previews = Previews(fake, lambda outcome: counts.update([outcome]), Log("error"))
        until = asyncio.get_running_loop().time() + deadline
        tasks = [asyncio.create_task(previews.get(each, until)) for each in requests]
        for _ in range(3):
            await asyncio.sleep(0)
        fake.may.set()
        answers = [await task for task in tasks]
        assert not previews._queue
        assert not previews._bytes
        await previews.stop()
        return answers, fake, counts

    return asyncio.run(run())


def test_the_namespaces_take_turns_and_a_flood_of_one_waits_in_a_short_queue():
    """One request of the attacker runs and four wait; the victim's comes second."""
    answers, fake, counts = _answers([*[_request("attacker") for _ in range(50)], _request("victim")])
    assert "victim" in fake.asked[:2]
    assert Counter(fake.asked)["attacker"] <= module.MOST_WAITING_OF_ONE + 1
    assert fake.most == 1
    assert isinstance(answers[-1], Preview)
    assert counts == {"previewed": len(fake.asked), "too-busy": 51 - len(fake.asked)}


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 300_000)), max_size=40))
@settings(max_examples=examples(30), deadline=None)
def test_bounds_hold_and_every_request_is_answered(wanted):
    requests = [_request(namespace, {"x": "x" * size}) for namespace, size in wanted]
    answers, fake, counts = _answers(requests)
    assert counts.total() == len(requests) == len(answers)
    assert counts["previewed"] == len(fake.asked)
    for namespace, asked in Counter(fake.asked).items():
        assert asked <= module.MOST_WAITING_OF_ONE + 1, namespace
    assert {namespace for namespace, _ in wanted} == set(fake.asked), "each namespace had one previewed"


def test_the_bytes_that_wait_are_bounded_for_each_namespace_and_for_all():
    large = {"x": "x" * 200_000}
    of_one = _answers([_request("attacker", large) for _ in range(5)])
    assert len(of_one[1].asked) <= 1 + module.MOST_BYTES_WAITING_OF_ONE // 200_000 + 1
    assert of_one[2]["too-busy"] >= 1
    of_many = _answers([_request(f"attacker-{number}", large) for number in range(20)])
    assert len(of_many[1].asked) <= 1 + module.MOST_BYTES_WAITING // 200_000 + 1
    assert of_many[2]["too-busy"] >= 8


def test_the_requests_that_wait_are_bounded_in_all():
    _, fake, counts = _answers([_request(f"n{number}") for number in range(200)])
    assert len(fake.asked) <= module.MOST_WAITING + 1
    assert counts["too-busy"] == 200 - len(fake.asked)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((413, b""), "too large"),
        ((500, b""), "failed"),
        ((200, b"no JSON"), "failed"),
        (TimeoutError(), "too busy"),
        (WorkerEndedError(), "failed"),
        (WorkerStartError(), "failed"),
    ],
)
def test_whatever_the_worker_does_there_is_an_answer_and_the_next_one_works(answer, reason):
    answers, fake, counts = _answers([_request(), _request()], lambda: FakeWorker(answer))
    assert [each.reason for each in answers] == [reason] * 2
    assert len(fake.asked) == 2
    assert counts == {reason.replace(" ", "-"): 2}


def test_a_request_that_is_too_large_is_not_sent():
    answers, fake, _ = _answers([_request(spec={"x": "x" * module.MOST_BYTES})])
    assert answers[0].reason == "too large"
    assert not fake.asked


def test_at_its_deadline_a_request_is_answered_and_the_next_one_is_previewed():
    """No request waits for the worker's answer then; it still arrives before the next request is sent."""

    async def run():
        fake = FakeWorker()
        previews = Previews(fake, lambda _: None, Log("error"))
        now = asyncio.get_running_loop().time()
        assert (await previews.get(_request("a"), now)).reason == "too busy"
        waiting = asyncio.create_task(previews.get(_request("a"), now + FOREVER))
        await asyncio.sleep(0)
        fake.may.set()
        assert isinstance(await waiting, Preview)
        assert fake.most == 1
        await previews.stop()

    asyncio.run(run())


class WorkerHere:
    """The worker's own function instead of its process."""

    trouble = ""

    def __init__(self):
        self._answering = worker.preview(b"", [], Settings())

    async def ask(self, body, seconds):
        return self._answering(body)

    async def stop(self):
        pass


def _owners():
    """A recorded resource of each kind and spec, as at its creation and as an update of an empty one."""
    seen = {}
    for case in CASES:
        for thing in case.objects:
            if thing["apiVersion"].startswith(GROUP):
                seen.setdefault(json.dumps([thing["kind"], thing.get("spec")], sort_keys=True), (thing, case.objects))
    return list(seen.values())


@pytest.mark.slow
def test_a_decision_with_the_workers_preview_is_the_decision_that_is_made_here(monkeypatch):
    """For every recorded resource: outcome, message, warnings, annotations and findings.

    The processor time of this process counts, which may collect the garbage of all tests before.
    """
    monkeypatch.setattr(worker, "PREVIEW_SECONDS", FOREVER)
    owners = _owners()
    assert len(owners) > 30
    everything = [
        *owners,
        (costly_distributed("d", "mon"), []),
        (resource("VMSingle", spec={"securityContext": {"runAsUser": 2**70, "runAsNonRoot": True}}), []),
    ]
    compared = 0
    for thing, objects in everything:
        for old in (None, {**thing, "spec": {}}):
            meta = thing["metadata"]
            body = json.loads(review_of(thing, uid="u", namespace=meta["namespace"], name=meta["name"]))
            if old:
                body["request"] |= {"operation": "UPDATE", "oldObject": old}
            review, source = decode(json.dumps(body).encode()), FileFacts(objects, 30)

            def steps(review=review, source=source):
                return admit(review, "validate", Settings(), minor=source.minor)

            here, _ = drive(steps(), source)

            async def there(steps=steps, source=source):
                previews = Previews(WorkerHere(), lambda _: None, Log("error"))
                until = asyncio.get_running_loop().time() + FOREVER
                return await drive_async(steps(), source, until, None, previews)

            sent, _ = asyncio.run(there())
            assert sent == msgspec.structs.replace(here, postures=sent.postures, predicted_levels=())
            compared += bool(here.predicted_levels)
    assert compared > 30


@pytest.mark.slow
def test_too_much_work_is_ended_by_processor_time_and_the_next_preview_is_made():
    """In a process of its own, whose limit is a small one."""
    program = "from webhook.server import worker; worker.PREVIEW_SECONDS = 0.01; worker.main(['preview'])"
    large = encode_request(_request(spec={"volumeMounts": [{}] * 100_000}))
    bodies = [b"", large, encode_request(_request())]
    frames = b"".join(QUESTION.pack(len(body)) + body for body in bodies)
    done = subprocess.run(
        [sys.executable, "-c", program], input=frames, env=environment(), capture_output=True, check=True
    )
    first, ended, rest = done.stdout[:6], done.stdout[6:12], done.stdout[12:]
    assert [ANSWER.unpack(each) for each in (first, ended)] == [(0, 200), (0, 413)]
    assert ANSWER.unpack(rest[:6]) == (len(rest) - 6, 200)
    assert decode_preview(rest[6:]).posture.startswith("vmsingle: ")


def test_a_fault_in_a_preview_is_one_line_of_the_log_and_no_preview(monkeypatch, capfd):
    def fail(_):
        raise KeyError("no such place")

    monkeypatch.setattr(PreviewRequest, "preview", fail)
    assert worker.preview(b"", [], Settings())(encode_request(_request())) == (500, b"")
    (line,) = map(json.loads, capfd.readouterr().err.splitlines())
    assert (line["level"], line["message"], line["error"]) == ("error", "preview failed", "KeyError('no such place')")


def _validated(thing, previews, operation="CREATE", old=None, minor=24):
    body = json.loads(review_of(thing, uid="u", namespace="mon", name="db", operation=operation))
    if old:
        body["request"]["oldObject"] = old
    steps = admit(decode(json.dumps(body).encode()), "validate", Settings(), minor=minor)

    async def run():
        return (await drive_async(steps, FileFacts([], minor), FOREVER, None, previews))[0]

    return asyncio.run(run())


class Busy:
    """Previews nothing, and counts what it should."""

    def __init__(self):
        self.requests = 0

    def now(self, _):
        return None

    async def get(self, request, deadline):
        self.requests += 1
        return module.TOO_BUSY


def test_a_resource_that_is_not_previewed_is_admitted_with_a_warning_that_the_api_server_passes_on_whole():
    busy = Busy()
    decision = _validated(resource("VMSingle", spec={"volumes": [{"name": "x"}]}), busy)
    (warning,) = decision.warnings
    assert decision.allowed
    assert decision.outcome == "warned"
    assert re.match(r"pods not previewed: too busy \(VMSingle mon/db\); .* \[workload\]$", warning)
    assert len(warning) <= 256
    assert "posture" not in decision.annotations
    assert busy.requests == 1


@pytest.mark.parametrize("spec", [{"podSecurityPolicyName": "gone"}, {"useStrictSecurity": "false"}])
def test_what_denies_a_resource_besides_its_pods_is_decided_without_a_preview(spec):
    busy = Busy()
    decision = _validated(resource("VMSingle", spec=spec), busy)
    assert not decision.allowed
    assert busy.requests == 0


def test_an_update_with_an_unchanged_spec_is_not_previewed():
    """Another owner can change what a parent sets for it, so then it is."""
    old = resource("VMSingle", spec={"volumes": [{"name": "x"}]})
    labelled = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    owned = {**old, "metadata": {**old["metadata"], "ownerReferences": [{"kind": "X", "name": "x", "uid": "u"}]}}
    changed = resource("VMSingle", spec={"volumes": [{"name": "y"}]})
    counts = []
    for new in (old, labelled, owned, changed):
        busy = Busy()
        assert _validated(new, busy, "UPDATE", old).allowed
        counts.append(busy.requests)
    assert counts == [0, 0, 1, 1]
