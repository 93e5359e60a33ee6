"""The failure policy decides while the webhook is down, and other webhooks may run before and after it."""

import pytest

from tests.controlplane.api import wait_for
from tests.controlplane.registration import LABEL, registered
from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, failed_create, successors
from tests.support.injector import injecting, registration
from tests.support.server import free_port


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
def test_the_failure_policy_decides_about_a_restarted_pod_while_the_webhook_is_down(plane, policy):
    label = f"down-{policy.lower()}"
    namespace = plane.namespace(f"{label}-pods", {LABEL: label})
    name = recreate(VMSINGLE, plane.api, namespace).pod()["metadata"]["name"]
    with registered(plane, f"https://localhost:{free_port()}", b"", label, policy):
        plane.api.delete("v1", "Pod", name, namespace)
        if policy == "Fail":
            assert failed_create(plane, namespace, "failed calling webhook")
            assert not plane.api.list("v1", "Pod", namespace)
        else:
            restarted = wait_for(lambda: successors(plane, namespace, name), "the pod's successor")
            assert restarted[0]["spec"]["securityContext"] == {}


def test_injectors_before_and_after_us_leave_a_hardened_pod(plane, guard, tmp_path):
    """With IfNeeded the API server calls vmguard again after a later injector, and vmguard hardens its container."""
    guarding = guard(VMGUARD_HARDEN_SIDECARS="true", **STRICT_SECURITY)
    namespace = guarding.namespace()
    names = ("a-mesh", "z-mesh")
    with injecting(tmp_path) as (base, ca):
        for name in names:
            plane.api.create(registration(name, base, ca, guarding.label))
        try:
            pod = recreate(VMSINGLE, plane.api, namespace).pod()
        finally:
            for name in names:
                plane.api.delete("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", name)
    containers = {container["name"]: container for container in pod["spec"]["containers"]}
    assert containers.keys() >= {"a-mesh", "z-mesh", "vmsingle"}
    for name, container in containers.items():
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
    assert len([line for line in guarding.decisions(namespace) if line["webhook"] == "mutate"]) == 2
