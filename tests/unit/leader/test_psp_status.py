"""The report of a reconciler's rounds: metric, log lines and events."""

import asyncio
import io
import json

import pytest

from webhook.cluster.refusal import EndingError, RefusedError
from webhook.leader import psp_status
from webhook.leader.psp_objects import Custom, Refused
from webhook.leader.psp_status import MOST_NAMED, PolicyStatus
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

ONE = Custom("VMSingle", "v1beta1", "mon", "one", "u1", {})
OTHER = Custom("VMAgent", "v1beta1", "mon", "other", "u2", {})


class Report:
    """A status with the events it wrote; `answer` is what writing an event raises, None for nothing."""

    def __init__(self, monkeypatch):
        self.events, self.answer = [], None
        self._stream, self._metrics = io.BytesIO(), Metrics()
        self.status = PolicyStatus(None, Log("info", self._stream), self._metrics)

        async def write_event(_, about, why, message):
            self.events.append((about.kind, about.name, about.uid, why, message))
            if self.answer:
                raise self.answer

        monkeypatch.setattr(psp_status, "write_event", write_event)

    def round(self, *troubles, resources=2):
        """One round in which these troubles are left."""
        self.status.begin()
        for trouble in troubles:
            self.status.trouble(*trouble)
        asyncio.run(self.status.publish(resources))

    def lines(self, message):
        return [line for line in map(json.loads, self._stream.getvalue().splitlines()) if line["message"] == message]

    def gauge(self, reason):
        labels = {"namespace": "mon", "reason": reason}
        return self._metrics.registry.get_sample_value("vmguard_policy_troubles", labels)


@pytest.fixture
def report(monkeypatch):
    return Report(monkeypatch)


def test_a_trouble_is_reported_once_until_it_ends(report):
    trouble = (ONE, "failed", "Role x could not be written: no")
    report.round(trouble)
    report.round(trouble)
    assert report.events == [("VMSingle", "one", "u1", "PolicyFailed", "Role x could not be written: no")]
    assert [line["resource"] for line in report.lines("policy not bound")] == ["VMSingle mon/one"]
    report.round()
    report.round(trouble)
    assert len(report.events) == 2


def test_the_metric_counts_the_resources_of_the_last_round(report):
    report.round((ONE, "failed", "a"), (ONE, "failed", "b"), (OTHER, "failed", "a"), (OTHER, "not-ours", "c"))
    assert (report.gauge("failed"), report.gauge("not-ours")) == (2, 1)
    report.round((ONE, "failed", "a"))
    assert (report.gauge("failed"), report.gauge("not-ours")) == (1, None)


def test_a_new_leader_reports_every_trouble_again(report):
    report.round((ONE, "failed", "a"))
    report.status.clear()
    assert report.gauge("failed") is None
    report.round((ONE, "failed", "a"))
    assert len(report.events) == 2


@pytest.mark.parametrize(("answer", "lines"), [(EndingError("gone"), 0), (RefusedError("quota"), 1)])
def test_an_event_that_is_refused_is_logged_unless_its_namespace_ends(report, answer, lines):
    report.answer = answer
    report.round((ONE, "failed", "a"), (OTHER, "failed", "b"))
    assert len(report.events) == 2, "the second event is written all the same"
    assert len(report.lines("event not written")) == 2 * lines


@pytest.mark.parametrize(
    ("reason", "event", "told"),
    [
        ("not-bindable", "PolicyNotBindable", "VMSingle mon/one names PodSecurityPolicy 'p', which vmguard may not"),
        ("not-ours", "PolicyNotOurs", "vmguard did not create PodSecurityPolicy 'p'"),
    ],
)
def test_a_refused_policy_is_a_trouble_that_says_what_to_do(report, reason, event, told):
    report.status.begin()
    report.status.refused(Refused(ONE, "p", reason))
    asyncio.run(report.status.publish(1))
    (written,) = report.events
    assert written[3] == event
    assert written[4].startswith(told)
    assert "add it to VMGUARD_PSP_BINDABLE" in written[4]


def test_a_round_that_wrote_has_one_line_with_its_counts(report):
    report.round()
    assert not report.status.has_written
    assert report.lines("default policies") == []
    report.status.begin()
    report.status.written()
    report.status.written()
    report.status.removed("podsecuritypolicies.policy vmsingle-x")
    report.status.not_removed("roles x", "no")
    asyncio.run(report.status.publish(7))
    assert report.status.has_written
    (line,) = report.lines("default policies")
    assert [line[key] for key in ("resources", "written", "removed", "failed")] == [7, 2, 1, 1]


def test_many_removals_have_a_bounded_number_of_lines(report):
    report.status.begin()
    for index in range(2 * MOST_NAMED):
        report.status.removed(f"roles {index}")
        report.status.not_removed(f"roles {index}", "no")
    assert len(report.lines("default policy removed")) == MOST_NAMED
    assert len(report.lines("default policies failed")) == MOST_NAMED
