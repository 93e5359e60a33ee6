"""Bursts of pods are all hardened, and no connection fails, also over minutes."""

import time

from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, scale

BURST = 300
ROUNDS, PODS, EVERY = 20, 100, 15.0
"""2,000 pods in five minutes, in bursts whose pauses are longer than most servers keep an idle connection."""


def _deployment(plane, guarding):
    namespace = guarding.namespace()
    made = recreate(VMSINGLE, plane.api, namespace)
    made.pod()
    return namespace, made.one("Deployment")["metadata"]["name"]


def _check(plane, guarding, namespace, pods):
    assert all(pod["spec"]["securityContext"].get("runAsNonRoot") is True for pod in pods)
    events = plane.api.list("v1", "Event", namespace)
    failed = [event["message"] for event in events if event["reason"] == "FailedCreate"]
    assert not [message for message in failed if "webhook" in message]
    assert {line["outcome"] for line in guarding.decisions(namespace)} == {"patched", "unchanged"}


def test_a_burst_of_pods_is_hardened_whole(plane, guard):
    guarding = guard(**STRICT_SECURITY)
    namespace, name = _deployment(plane, guarding)
    pods = scale(plane, namespace, name, BURST)
    assert len(pods) == BURST
    _check(plane, guarding, namespace, pods)
    plane.api.delete("v1", "Namespace", namespace)


def test_bursts_over_minutes_meet_no_closed_connection(plane, guard):
    guarding = guard(**STRICT_SECURITY)
    namespace, name = _deployment(plane, guarding)
    for _ in range(ROUNDS):
        began = time.monotonic()
        _check(plane, guarding, namespace, scale(plane, namespace, name, PODS))
        scale(plane, namespace, name, 0)
        time.sleep(max(0.0, EVERY - (time.monotonic() - began)))
    plane.api.delete("v1", "Namespace", namespace)
