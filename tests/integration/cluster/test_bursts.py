"""Many pods at once, and many over minutes: none is lost, none is unhardened, no connection fails."""

import time

from tests.controlplane.api import wait_for
from tests.controlplane.stand_in_operator import recreate
from tests.integration.cluster.test_pod_admission import SINGLE, STRICT

BURST = 300
ROUNDS, PODS, EVERY = 20, 100, 15.0
"""2,000 pods in five minutes, in bursts whose pauses are longer than most servers keep an idle connection."""


def _scale(plane, namespace, name, replicas):
    plane.api.patch("apps/v1", "Deployment", name, {"spec": {"replicas": replicas}}, namespace)

    def settled():
        pods = [pod for pod in plane.api.list("v1", "Pod", namespace) if "deletionTimestamp" not in pod["metadata"]]
        return len(pods) == replicas and (pods or True)

    return wait_for(settled, f"{replicas} pods", 90, interval=0.5)


def _deployment(plane, guarding):
    namespace = guarding.namespace()
    made = recreate(SINGLE, plane.api, namespace)
    made.pod()
    return namespace, made.one("Deployment")["metadata"]["name"]


def _check(plane, guarding, namespace, pods):
    assert all(pod["spec"]["securityContext"].get("runAsNonRoot") is True for pod in pods)
    events = plane.api.list("v1", "Event", namespace)
    failed = [event["message"] for event in events if event["reason"] == "FailedCreate"]
    assert not [message for message in failed if "webhook" in message]
    assert {line["outcome"] for line in guarding.decisions(namespace)} == {"patched", "unchanged"}


def test_a_burst_of_pods_is_hardened_whole(plane, guard):
    guarding = guard(**STRICT)
    namespace, name = _deployment(plane, guarding)
    pods = _scale(plane, namespace, name, BURST)
    assert len(pods) == BURST
    _check(plane, guarding, namespace, pods)
    plane.api.delete("v1", "Namespace", namespace)


def test_bursts_over_minutes_meet_no_closed_connection(plane, guard):
    guarding = guard(**STRICT)
    namespace, name = _deployment(plane, guarding)
    for _ in range(ROUNDS):
        began = time.monotonic()
        _check(plane, guarding, namespace, _scale(plane, namespace, name, PODS))
        _scale(plane, namespace, name, 0)
        time.sleep(max(0.0, EVERY - (time.monotonic() - began)))
    plane.api.delete("v1", "Namespace", namespace)
