"""The API server calls vmguard by IPv4 and by IPv6, with the listener that the manifests have."""

import pytest
import yaml

from tests.controlplane.api import wait_for
from tests.controlplane.fixtures import had
from tests.controlplane.versions import NEWEST
from tests.support.installed import NAMESPACE, cluster
from tests.support.overlays import kustomization

BOTH = "10.0.0.0/24,fd00:10::/112"


@pytest.fixture(scope="module")
def here(pytestconfig, can_have_control_plane):
    """A cluster of both families, where vmguard listens without an address, as by default."""
    made = cluster(NEWEST, f"--service-cluster-ip-range={BOTH}", VMGUARD_LISTEN=":0")
    yield had(pytestconfig, made.__enter__)
    made.__exit__(None, None, None)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_a_service_of_one_family_is_enough(here, tmp_path, family):
    spec = {"ipFamilyPolicy": "SingleStack", "ipFamilies": [family]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "vmguard", "namespace": NAMESPACE}}
    folder = kustomization(
        tmp_path / "mine",
        resources=["deploy/overlays/default"],
        components=["deploy/components/enforce"],
        patches=[{"patch": yaml.safe_dump({**service, "spec": spec})}],
    )
    pod = here.pod(f"called-by-{family.lower()}")
    here.kubectl("apply", "--server-side", "-k", str(folder))
    here.rolled_out()
    slices = here.plane.api.list("discovery.k8s.io/v1", "EndpointSlice", NAMESPACE)
    assert {each["addressType"] for each in slices} == {family}
    wait_for(lambda: here.hardened(pod, f"called-by-{family.lower()}"), "a pod to be hardened")
    here.kubectl("delete", "-k", str(folder), "--wait=false")
    here.kubectl("delete", "pods", "-n", NAMESPACE, "--all", "--force", "--grace-period=0")
    wait_for(lambda: here.plane.api.find("v1", "Namespace", NAMESPACE) is None, "the namespace to go")
