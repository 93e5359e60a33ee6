"""Events on resources are written once, within bounds for each namespace, and only on resources that exist."""

import asyncio
import io
import json
from types import SimpleNamespace

import pytest

from webhook.cluster import event_writer as module
from webhook.cluster.client import UnreachableError
from webhook.cluster.event_writer import AGAIN, MOST_WAITING, MOST_WAITING_OF_ONE, OF_ALL, OF_ONE, EventWriter
from webhook.cluster.refusal import EndingError, RefusedError
from webhook.facts import Ref
from webhook.policy.custom_resources import GROUP
from webhook.policy.resource_events import REASONS, ResourceEvent
from webhook.telemetry.log import Log

_BURST_OF_ONE, _BURST_OF_ALL = int(OF_ONE[1]), int(OF_ALL[1])


def event(namespace="mon", name="db", *, kind="VMSingle", reason="PodDenied", text="x", uid=""):
    ref = Ref(GROUP, "v1beta1", kind, namespace, name, uid or f"uid-{namespace}-{name}")
    return ResourceEvent(ref, reason, text, is_admission=reason == "PodDenied")


class Written:
    """A writer whose time is `now`, and what it has written. Each resource exists but those in `gone`."""

    def __init__(self, monkeypatch):
        self.now, self.events, self.refusal, self.looked = 0.0, [], None, 0
        self.gone: set[str] = set()
        self.exempt: set[str] = set()
        self.tried = asyncio.Event()
        self._stream = io.BytesIO()
        discovery = SimpleNamespace(versions={}, served_kinds={"VMFoo", "VMUser"}, permissions=None)
        log = Log("info", self._stream)
        self.writer = EventWriter(self, discovery, (), lambda: self.exempt, log, lambda: self.now)

        async def write_event(_, about, why, message, again):
            self.tried.set()
            if self.refusal:
                raise self.refusal
            self.events.append((about.namespace, about.name, about.uid, why, message, again))

        monkeypatch.setattr(module, "write_event", write_event)

    async def get(self, path, _accept, _deadline):
        """What the API server answers on a resource."""
        self.looked += 1
        *_, namespace, _, name = path.split("/")
        if name in self.gone:
            return 404, b"{}"
        if name == "unreachable":
            raise UnreachableError("no answer")
        uid = "another" if name == "recreated" else f"uid-{namespace}-{name}"
        return 200, json.dumps({"metadata": {"name": name, "namespace": namespace, "uid": uid}}).encode()

    def offer(self, *events):
        for each in events:
            self.writer.offer(each)

    def write(self, most=10_000):
        """Write what the budgets allow now; the names of the resources, in order."""
        before = len(self.events)

        async def run():
            for _ in range(most):
                found = self.writer._next()
                if found is None:
                    return
                await self.writer._write(found)

        asyncio.run(run())
        return [f"{namespace}/{name}" for namespace, name, *_ in self.events[before:]]

    def lines(self):
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def written(monkeypatch):
    return Written(monkeypatch)


def test_an_event_is_written_on_the_resource_with_its_reason_and_text(written):
    written.offer(event(text="why"))
    assert written.write() == ["mon/db"]
    assert written.events == [("mon", "db", "uid-mon-db", "PodDenied", "why", AGAIN["PodDenied"])]


@pytest.mark.parametrize("reason", REASONS)
def test_the_same_event_is_written_again_after_its_time_only(written, reason):
    same = event(reason=reason)
    written.offer(same, same)
    assert len(written.write()) == 1
    written.now += AGAIN[reason] - 1
    written.offer(same)
    assert written.write() == []
    written.now += 1
    written.offer(same)
    assert len(written.write()) == 1


def test_no_event_is_written_again_within_ten_minutes_and_none_is_forgotten_by_the_api_server():
    assert all(600 <= seconds < 3600 for seconds in AGAIN.values())
    assert AGAIN.keys() == set(REASONS)


def test_another_text_reason_or_resource_is_another_event(written):
    written.offer(event(), event(text="y"), event(reason="PodNotJudged"), event(name="other"), event(uid="new"))
    written.write()
    assert len(written.events) == 4, "the resource with the UID `new` does not exist"


def test_a_namespace_with_ten_thousand_wrong_resources_displaces_no_other_one(written):
    """Nor does it delay the other's event: the namespaces take turns."""
    written.offer(*(event("attacker", f"r{index}") for index in range(10_000)))
    assert len(written.writer._admissions) == MOST_WAITING_OF_ONE
    written.offer(event("victim"))
    order = written.write()
    assert order.index("victim/db") <= 1
    assert order.count("victim/db") == 1
    assert len(order) <= 1 + _BURST_OF_ONE


@pytest.mark.slow
def test_after_its_burst_a_namespace_gets_one_event_in_thirty_seconds(written):
    total, wrong = 0, [event("attacker", f"r{index}") for index in range(300)]
    for second in range(0, 3600, 10):
        written.now = float(second)
        written.offer(*wrong)
        total += len(written.write())
    assert total <= _BURST_OF_ONE + 3600 * OF_ONE[0] + 1


def test_all_namespaces_together_have_a_rate_limit(written):
    written.offer(*(event(f"n{index}") for index in range(400)))
    assert len(written.write()) == _BURST_OF_ALL
    written.now += 10
    assert len(written.write()) == 10


def test_what_waits_is_bounded_and_a_full_queue_takes_from_the_namespace_with_the_most(written):
    for namespace in range(100):
        written.offer(*(event(f"n{namespace}", f"r{index}") for index in range(MOST_WAITING_OF_ONE + 5)))
    waiting = written.writer._admissions
    assert len(waiting) == len(written.writer._queued) == MOST_WAITING
    written.offer(event("victim"))
    assert waiting.waiting("victim") == 1
    assert len(waiting) == len(written.writer._queued) == MOST_WAITING


def test_the_number_of_stored_events_and_budgets_is_limited(written, monkeypatch):
    for kept in (written.writer._written, written.writer._budgets):
        monkeypatch.setattr(kept, "_most", 3)
    written.offer(*(event(f"n{index}") for index in range(10)))
    written.write()
    assert len(written.writer._written) == len(written.writer._budgets) == 3


@pytest.mark.parametrize("name", ["deleted", "recreated", "unreachable"])
def test_a_resource_that_is_gone_or_another_by_now_gets_none(written, name):
    written.gone = {"deleted"}
    written.offer(event(name=name))
    assert written.write() == []
    assert written.lines() == []


def test_an_unknown_kind_must_be_served(written):
    """vmguard may not read it, so it does not look."""
    written.offer(event(kind="VMFoo"), event(kind="VMBar"))
    assert written.write() == ["mon/db"]
    assert written.looked == 0


def test_a_kind_that_vmguard_does_not_judge_is_not_read(written):
    """A person can make a VMUser the controller of a workload; vmguard has no permission to read it."""
    written.offer(event(kind="VMUser"), event(kind="VMRule", name="not-served"))
    assert written.write() == ["mon/db"]
    assert written.looked == 0


def test_an_exempt_namespace_gets_none(written):
    """The API server sends no pod of it, but another client can."""
    written.exempt = {"mon"}
    written.offer(event(), event(reason="PodNotCompliant"), event("other"))
    assert written.write() == ["other/db"]


@pytest.mark.slow
def test_a_denial_does_not_wait_for_the_survey(written):
    """The survey finds 300 wrong resources every five minutes, all in the namespace of the denials."""
    survey = [event(name=f"r{index}", reason="PodNotCompliant") for index in range(300)]
    denied, waited = None, []
    for second in range(0, 6 * 3600, 5):
        written.now = float(second)
        if second % 300 == 0:
            written.offer(*survey)
        if second % 1200 == 40:
            denied = (second, event(name=f"denied-{second}"))
        if denied and second % 30 == 10:
            written.offer(denied[1])
        if denied and f"mon/{denied[1].resource.name}" in written.write():
            waited.append(second - denied[0])
            denied = None
        written.write()
    assert len(waited) == 18
    assert max(waited) <= 60


@pytest.mark.slow
def test_every_wrong_resource_of_a_namespace_gets_its_event(written):
    """The survey offers them in the same order each time, and the first ones are due again before the last are due."""
    survey = [event(name=f"r{index}", reason="PodNotCompliant") for index in range(300)]
    names = []
    for second in range(0, 6 * 3600, 10):
        written.now = float(second)
        if second % 300 == 0:
            written.offer(*survey)
        names += written.write()
    assert {names.count(f"mon/r{index}") for index in range(300)} <= {2, 3}


def test_an_event_that_cannot_be_written_keeps_no_other_from_its_turn(written):
    lost = [event(name=f"lost{index}", reason="PodNotCompliant") for index in range(40)]
    fine = event(name="fine", reason="PodNotCompliant")
    written.gone = {each.resource.name for each in lost}
    names = []
    for second in range(0, 7200, 10):
        written.now = float(second)
        if second % 300 == 0:
            written.offer(*lost, fine)
        names += written.write()
    assert "mon/fine" in names


@pytest.mark.parametrize(("flood", "other"), [("PodDenied", "PodNotCompliant"), ("PodNotCompliant", "PodDenied")])
def test_neither_denials_nor_the_survey_of_many_namespaces_end_the_other(written, flood, other):
    """An attacker with more namespaces than the total budget serves has something to write at any time."""
    names: list[str] = []
    for second in range(0, 90, 5):
        written.now = float(second)
        written.offer(*(event(f"n{index}", reason=flood) for index in range(510)))
        if second == 60:
            before = len(names)
            written.offer(event("victim", reason=other))
        names += written.write()
    assert len(names) > before + 20
    assert "victim/db" in names[before : before + 2]


def test_the_latest_events_and_budgets_are_stored_longest(written, monkeypatch):
    """Writing an event again counts, and so does a budget that is used again."""
    for kept in (written.writer._written, written.writer._budgets):
        monkeypatch.setattr(kept, "_most", 3)
    for number, name in enumerate(["a", "b", "c", "a", "d"]):
        written.now = number * 1000.0
        written.offer(event(name))
        written.write()
    assert [each.resource.namespace for each in written.writer._written] == ["c", "a", "d"]
    assert list(written.writer._budgets) == ["c", "a", "d"]


def test_a_refusal_is_logged_and_tried_again(written):
    written.refusal = RefusedError("may not create events")
    written.offer(event())
    assert written.write() == []
    (line,) = written.lines()
    assert (line["message"], line["resource"], line["reason"]) == (
        "event not written",
        "VMSingle mon/db",
        "may not create events",
    )
    written.refusal = None
    written.offer(event())
    assert written.write() == ["mon/db"]


def test_many_refusals_fill_no_log(written):
    written.refusal = RefusedError("no")
    for index in range(200):
        written.now += 60
        written.offer(event(name=f"r{index}"))
        written.write()
    assert len(written.lines()) < 30


def test_a_namespace_that_is_being_deleted_is_no_trouble(written):
    written.refusal = EndingError("it ends")
    written.offer(event())
    assert written.write() == []
    assert written.lines() == []


def test_a_fault_of_our_own_ends_no_writer(written):
    """It would end the process: the writer runs beside everything else."""

    async def run():
        allowed = asyncio.Event()

        async def ask(*_):
            allowed.set()

        written.writer._discovery.permissions = SimpleNamespace(ask=ask, lacks=lambda *_: False)
        written.refusal = ValueError("broken")
        written.offer(event(name="first"))
        task = asyncio.create_task(written.writer.run())
        await allowed.wait()
        await written.tried.wait()
        written.tried.clear()
        written.refusal = None
        written.offer(event(name="second"))
        await written.tried.wait()
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(run())
    assert [each[1] for each in written.events] == ["second"]
    (line,) = written.lines()
    assert "broken" in line["reason"]
