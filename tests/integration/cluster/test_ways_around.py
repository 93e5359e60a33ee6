"""How a pod gets past vmguard, as docs/security.md says, and what stops or finds it."""

from contextlib import contextmanager

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.stand_in_operator import recreate
from tests.support.accounts import RBAC, RBAC_GROUP
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, weak_pod
from tests.support.injector import injecting, make_privileged, registration
from webhook.policy.enforcement import EXEMPT, EXEMPT_VALUE, LABEL
from webhook.policy.workload import MANAGED_BY


def take_label_away(name, pod):
    """Make the first container privileged, and take away the label that vmguard's entries select by."""
    key, _ = MANAGED_BY
    operations = make_privileged(name, pod)
    if key in pod["metadata"].get("labels", {}):
        operations.append({"op": "remove", "path": f"/metadata/labels/{key}"})
    return operations


@contextmanager
def later_webhook(plane, guarding, folder):
    """A webhook that the API server calls after vmguard and that takes the label away, until the end of the block."""
    with injecting(folder, take_label_away) as (base, ca):
        made = plane.api.create(registration(f"z-{guarding.label}", base, ca, guarding.label))
        try:
            probe = guarding.namespace()
            pod = weak_pod(plane, probe, privileged=False)
            wait_for(lambda: is_privileged(plane.api.create(pod, probe, dryRun="All")), "the later webhook")
            yield
        finally:
            plane.api.delete(made["apiVersion"], made["kind"], made["metadata"]["name"])


def is_privileged(pod):
    return pod["spec"]["containers"][0].get("securityContext", {}).get("privileged") is True


def test_a_later_webhook_that_takes_the_label_away_passes_and_the_pod_loses_its_owner(plane, guard, tmp_path):
    """Also where the namespace enforces deny: no entry selects the final pod any more.

    The operator's controllers select by that label too. So the ReplicaSet releases the pod.
    """
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace(**{LABEL: "deny"})
    pod = weak_pod(plane, namespace, privileged=False)
    with later_webhook(plane, guarding, tmp_path):
        created = plane.api.create(pod, namespace)
    assert is_privileged(created)

    def is_released():
        found = plane.api.get("v1", "Pod", created["metadata"]["name"], namespace)
        return not found["metadata"].get("ownerReferences")

    wait_for(is_released, "the ReplicaSet to release the pod")


def test_pod_security_admission_refuses_what_a_later_webhook_weakened(plane, guard, tmp_path):
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace(**{"pod-security.kubernetes.io/enforce": "baseline"})
    pod = weak_pod(plane, namespace, privileged=False)
    assert not is_privileged(plane.api.create(pod, namespace, dryRun="All"))
    with later_webhook(plane, guarding, tmp_path), pytest.raises(ApiError, match='violates PodSecurity "baseline'):
        plane.api.create(pod, namespace)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/spec/securityContext/runAsNonRoot", False),
        ("/spec/securityContext/runAsUser", 0),
        ("/spec/containers/0/securityContext/privileged", True),
        ("/spec/containers/0/securityContext/capabilities", {"add": ["SYS_ADMIN"]}),
        ("/spec/hostPID", True),
        ("/spec/hostNetwork", True),
        ("/spec/volumes/-", {"name": "host", "hostPath": {"path": "/"}}),
        ("/spec/initContainers", [{"name": "more", "image": "more"}]),
    ],
)
def test_no_update_weakens_a_running_pod(plane, guard, path, value):
    """The API server refuses it from an administrator too, so no entry judges updates of pods."""
    namespace = guard(**STRICT_SECURITY).namespace()
    name = recreate(VMSINGLE, plane.api, namespace).pod()["metadata"]["name"]
    patch = [{"op": "add", "path": path, "value": value}]
    with pytest.raises(ApiError) as refused:
        plane.api.patch("v1", "Pod", name, patch, namespace, how="application/json-patch+json")
    assert refused.value.status == 422
    assert "pod updates may not" in str(refused.value)


def test_an_admin_of_a_namespace_cannot_label_it(plane, namespace):
    """The role `admin` may do what it likes with pods there, and cannot exempt the namespace."""
    user = f"admin-of-{namespace}"
    plane.api.create(
        {
            "apiVersion": RBAC,
            "kind": "RoleBinding",
            "metadata": {"name": user},
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"apiGroup": RBAC_GROUP, "kind": "User", "name": user}],
        },
        namespace,
    )
    api = plane.api_as(user)

    def lists():
        try:
            return [api.list("v1", "Pod", namespace)]
        except ApiError:
            return None

    wait_for(lists, "the role admin to be known")
    with pytest.raises(ApiError) as refused:
        api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {EXEMPT: EXEMPT_VALUE}}})
    assert refused.value.status == 403
