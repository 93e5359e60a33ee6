"""Whatever happens to a review, it is decided once, and its findings, log line and metrics are counted once."""

import ast
import asyncio
import io
import json
from inspect import isawaitable
from pathlib import Path

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from tests.support.asgi import InProcessApp, admission
from tests.support.sample_pods import UNREACHABLE, vmsingle
from tests.support.wire import closed, opened, sent, turns
from webhook import admit as deciding
from webhook.admission.admission_review import review_of
from webhook.facts import Lookup
from webhook.policy import decide
from webhook.server import admission_handler, reporting
from webhook.server.connection import Connection

POD, OBJECTS = vmsingle()
REVIEW = review_of(POD, uid="u", namespace="mon", name="db-0")
OWNERS = ["ReplicaSet", "Deployment", "VMSingle"]


class _Slow:
    """A source without a cache; `fails` answers in the place of files for the last owner."""

    def __init__(self, files, fails=None):
        self._files, self._fails = files, fails
        self.minor, self.labels_suffice = files.minor, False
        self.read = []

    def cached(self, lookup):
        return None

    async def get(self, lookup, deadline):
        self.read.append(lookup)
        if self._fails and lookup.ref.kind == OWNERS[-1]:
            answer = self._fails()
            return await answer if isawaitable(answer) else answer
        return self._files.cached(lookup)


def _unknown():
    return UNREACHABLE


def _never():
    return asyncio.Event().wait()


def _broken():
    raise RuntimeError("the source is broken")


def _setting(fails=None, *, slow=True):
    asked = admission(OBJECTS)
    if slow:
        asked.app._source = _Slow(asked.app._source, fails)
    return asked


def _totals(asked: InProcessApp):
    """The sum of each counter over all labels, and the number of durations."""
    totals = {}
    for family in asked.metrics.registry.collect():
        for sample in family.samples:
            if sample.name.startswith("vmguard_") and sample.name.endswith(("_total", "_count")) and sample.value:
                totals[sample.name] = totals.get(sample.name, 0) + sample.value
    return totals


@pytest.fixture
def counted(monkeypatch):
    """How often a generator of decisions was made, and how often a pod was decided on."""
    counts = {"admit": 0, "decide_pod": 0}

    def counting(name, function):
        def called(*arguments, **named):
            counts[name] += 1
            return function(*arguments, **named)

        return called

    monkeypatch.setattr(admission_handler, "admit", counting("admit", deciding.admit))
    monkeypatch.setattr(decide, "decide_pod", counting("decide_pod", decide.decide_pod))
    return counts


def _as_asgi(app):
    """The status of the response to one review by the ASGI application."""
    return InProcessApp(app, io.BytesIO(), None).ask("/mutate", REVIEW).status


def _over_a_connection(app):
    """The status of the response to one review that comes over a connection, which begins it without a task."""
    head = b"POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(REVIEW)
    (status,) = sent(Connection, app, [head + REVIEW]).statuses
    return status


@pytest.fixture(params=[_as_asgi, _over_a_connection])
def way(request):
    return request.param


def _check(asked, way, status, outcome, message, *, findings, lookups):
    """One review with one of everything; the response has this status, and the log and the metric this outcome."""
    assert way(asked.app) == status
    (line,) = asked.lines()
    assert line["message"] == message
    totals = _totals(asked)
    assert totals.pop("vmguard_admission_requests_total") == 1
    assert totals.pop("vmguard_admission_duration_seconds_count") == 1
    assert totals.pop("vmguard_findings_total", 0) == findings
    assert totals.pop("vmguard_lookups_total", 0) == lookups
    assert not totals
    labels = {"webhook": "mutate", "outcome": outcome}
    assert asked.metrics.registry.get_sample_value("vmguard_admission_requests_total", labels) == 1


FINDINGS = 13
"""Of the pod by the strict context."""


def test_a_review_whose_facts_are_cached(counted, way):
    asked = _setting(slow=False)
    _check(asked, way, 200, "patched", "admission", findings=FINDINGS, lookups=len(OWNERS))
    assert counted == {"admit": 1, "decide_pod": 1}


def test_a_review_whose_facts_are_read(counted, way):
    asked = _setting()
    _check(asked, way, 200, "patched", "admission", findings=FINDINGS, lookups=len(OWNERS))
    assert counted == {"admit": 1, "decide_pod": 1}
    assert [lookup.ref.kind for lookup in asked.app._source.read] == OWNERS


def test_a_review_whose_resource_is_unknown(counted, way):
    asked = _setting(_unknown)
    _check(asked, way, 500, "refused", "admission", findings=0, lookups=len(OWNERS))
    assert counted == {"admit": 1, "decide_pod": 0}
    assert [lookup.ref.kind for lookup in asked.app._source.read] == OWNERS


def test_a_review_whose_source_breaks(counted, way):
    asked = _setting(_broken)
    _check(asked, way, 500, "error", "failed", findings=0, lookups=0)
    assert counted == {"admit": 1, "decide_pod": 0}
    assert [lookup.ref.kind for lookup in asked.app._source.read] == OWNERS


@pytest.mark.parametrize("slow", [False, True])
def test_a_review_whose_response_cannot_be_encoded(counted, way, monkeypatch, slow):
    def broken(*_):
        raise ValueError("it cannot be encoded")

    monkeypatch.setattr(reporting, "encode", broken)
    asked = _setting(slow=slow)
    _check(asked, way, 500, "error", "failed", findings=FINDINGS, lookups=len(OWNERS))
    assert counted == {"admit": 1, "decide_pod": 1}


def test_a_review_that_does_not_become_whole_is_counted_once_and_leaves_no_line():
    asked = _setting(slow=False)
    head = b"POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    sent(Connection, asked.app, [head + b"{"])
    assert asked.lines() == []
    labels = {"webhook": "mutate", "outcome": "disconnected"}
    assert asked.metrics.registry.get_sample_value("vmguard_admission_requests_total", labels) == 1
    assert _totals(asked)["vmguard_admission_requests_total"] == 1


@pytest.mark.parametrize("size", [len(REVIEW), 2 * HIGH_WATER_LIMIT])
def test_a_review_whose_connection_makes_way_is_counted_once_and_leaves_no_line(size):
    """Its lookup ends with it, and nothing is sent."""
    asked = _setting(_never)
    head = b"POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size

    async def run():
        wire = opened(Connection, asked.app)
        wire.connection.data_received(head + REVIEW.ljust(size))
        await turns()
        assert wire.connection.answering
        wire.connection.make_way()
        await closed(wire)
        return wire.statuses

    assert asyncio.run(run()) == []
    assert asked.lines() == []
    labels = {"webhook": "mutate", "outcome": "disconnected"}
    assert asked.metrics.registry.get_sample_value("vmguard_admission_requests_total", labels) == 1
    assert _totals(asked)["vmguard_admission_requests_total"] == 1


def test_a_denial_reads_each_fact_again_and_counts_the_second_time_only():
    """A denial never rests on a cached fact, so the pod is decided again by what was read live."""
    asked = admission(OBJECTS, VMGUARD_ENFORCE="deny")
    files, read = asked.app._source, []

    class Cached:
        minor, labels_suffice = files.minor, False

        def cached(self, lookup):
            return None if lookup.fresh else _of_source(files.cached(lookup), "cache")

        async def get(self, lookup, deadline):
            read.append(lookup)
            return _of_source(files.cached(lookup), "live")

    asked.app._source = Cached()
    response = asked.ask("/validate", REVIEW)
    assert json.loads(response.body)["response"]["allowed"] is False
    assert [(lookup.ref.kind, lookup.fresh) for lookup in read] == [(kind, True) for kind in OWNERS]
    (line,) = asked.lines()
    assert line["facts"] == ", ".join(f"{kind}=found/live" for kind in OWNERS)
    assert _totals(asked)["vmguard_lookups_total"] == len(OWNERS)
    assert _totals(asked)["vmguard_findings_total"] == FINDINGS


def _of_source(fact, source):
    return type(fact)(fact.object, source)


def test_a_lookup_names_the_generation_of_its_pod_and_the_namespace_that_pays():
    thing, _ = vmsingle(labels={"managed-by": "vm-operator", "pod-template-hash": "abc"})
    asked = _setting()
    asked.ask("/mutate", review_of(thing, uid="u", namespace="mon", name="db-0"))
    assert {(type(each), each.generation, each.requester, each.fresh) for each in asked.app._source.read} == {
        (Lookup, "abc", "mon", False)
    }


def test_decisions_are_made_without_async():
    root = Path(deciding.__file__).parent
    files = [root / "admit.py", *(root / "policy").rglob("*.py")]
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert len(files) > 20
    for path in files:
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, waiting)], path
