"""vmguard in the namespace of resources: its own pods start without it, and the pods of the resources are secured."""

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.registration import LABEL
from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, bare_pod
from tests.support.egress import egress_of
from tests.support.release import release

LABELS = {
    "app.kubernetes.io/name": "vmguard",
    "app.kubernetes.io/component": "webhook",
    "app.kubernetes.io/managed-by": "Helm",
}
"""Of vmguard's pods; `app.kubernetes.io/managed-by` is not the label that the webhook selects by."""

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "vmguard", "labels": LABELS},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "vmguard", "image": "vmguard"}]},
        },
    },
}


@pytest.fixture
def installation(plane, tmp_path):
    """An installation that selects its own namespace too, with no replica."""
    with egress_of(plane) as egress, release(plane, egress, tmp_path) as made:
        plane.api.patch("v1", "Namespace", made.namespace, {"metadata": {"labels": {LABEL: made.name}}})
        made.configure()
        yield made


def test_vmguards_own_pods_start_while_it_is_down_and_pods_of_the_operator_do_not(plane, installation):
    wait_for(lambda: not installation.admits(), "the API server to call the webhook")
    plane.api.create(DEPLOYMENT, installation.namespace)
    selector = {"labelSelector": "app.kubernetes.io/name=vmguard"}
    wait_for(lambda: len(plane.api.list("v1", "Pod", installation.namespace, **selector)) == 2, "vmguard's pods")
    with pytest.raises(ApiError, match="failed calling webhook"):
        plane.api.create(bare_pod(), installation.namespace)


def test_a_pod_of_the_operator_in_vmguards_namespace_is_secured(plane, installation):
    installation.ready(installation.replica(**STRICT_SECURITY))
    wait_for(installation.admits, "the API server to reach vmguard")
    pod = recreate(VMSINGLE, plane.api, installation.namespace).pod()
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    (container,) = (each for each in pod["spec"]["containers"] if each["name"] == "vmsingle")
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
