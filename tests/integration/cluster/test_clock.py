"""A wall clock that jumps by hours changes no decision and delays nothing.

Deadlines, ages, pauses, rates and durations are measured with the monotonic clock. Only log lines, certificates and
credentials know the time of day.
"""

from datetime import UTC, datetime, timedelta

from tests.controlplane.api import wait_for
from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE
from tests.support.admission_reviews import sibling_review
from tests.support.clock import Clock
from tests.support.server import serving_cluster
from tests.support.unharmed import troubles
from webhook.policy.custom_resources import GROUP

TOLD = ("decision", "workload", "posture", "rules")


def _hours(line):
    """How far the log's clock is from this process's."""
    return round((datetime.fromisoformat(line["time"]) - datetime.now(UTC)) / timedelta(hours=1))


def test_a_clock_that_jumps_by_hours_changes_no_decision(plane, namespace, tmp_path):
    """The clock goes forward, back and right again: vmguard judges pods, new generations and changes as before."""
    clock = Clock(tmp_path)
    review = sibling_review(recreate(VMSINGLE, plane.api, namespace).pod(), namespace)
    with serving_cluster(tmp_path, plane.kubeconfig(), **STRICT_SECURITY, **clock.environment) as server:

        def decision(generation):
            review["request"]["object"]["metadata"]["labels"]["pod-template-hash"] = generation
            response = server.ask("POST", "/mutate?timeout=30s", review)[2]["response"]
            return response.get("patch"), {key: response["auditAnnotations"].get(key) for key in TOLD}

        def facts():
            return server.lines()[-1]["facts"]

        first = decision("a")
        assert first[0]
        for turn, (offset, hours) in enumerate((("+5h", 5), ("-5h", -5), ("+11h", 11), ("+0h", 0))):
            clock.move(offset)
            assert decision("a") == first
            assert "VMSingle=found/cache" in facts()
            assert _hours(server.lines()[-1]) == hours, "the clock has moved"
            assert decision(f"new-{turn}") == first
            assert "VMSingle=found/live" in facts(), "the deadline was measured with another clock"
            for strict in (False, True):
                change = {"spec": {"useStrictSecurity": strict}}
                plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "t", change, namespace)
                wait_for(lambda strict=strict: (decision("a")[0] is not None) is strict, "the change")
            plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "t", {"spec": {"useStrictSecurity": None}}, namespace)
            wait_for(lambda: decision("a") == first, "what was before")
            assert not troubles(server)
        wrong = [line for line in server.lines() if line["level"] in {"warning", "error"}]
        assert not [line for line in wrong if line["message"] != "survey"], "a leader surveys the older pod"
