"""Nothing that happens to vmguard costs a pod: 50 creates a second through a real Service, with failurePolicy Fail.

The long form is `python -m bench.availability`.
"""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.controlplane.api import wait_for
from tests.controlplane.fixtures import had
from tests.controlplane.service_network import service_network
from tests.support.availability_scenarios import CONTROLS, SCENARIOS, availability_plane, played
from tests.support.pod_load import is_hardened, owned_pods
from tests.support.release import release
from tests.support.resource_manifests import custom_resource
from webhook.manifests.crds import definitions
from webhook.manifests.webhooks import Service, configurations
from webhook.policy import enforcement
from webhook.policy.custom_resources import GROUP, RESOURCES

MERGE = "application/merge-patch+json"

CREATES = 200
"""In each scenario, at the least."""

MOST = 3_000
"""In a control, which ends when it loses a pod."""


@pytest.fixture(scope="module")
def services(pytestconfig, can_have_control_plane):
    """A control plane that reaches Services by their EndpointSlices, in a network namespace of its own."""
    made = availability_plane()
    yield had(pytestconfig, made.__enter__)
    made.__exit__(None, None, None)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_no_pod_is_refused_or_left_unhardened(services, tmp_path, scenario):
    """Refused by the address of a replica that was killed is repeated, as controllers do, and then created."""
    outcome = played(scenario, services, tmp_path, CREATES, short=True)
    assert not scenario.faults(outcome)
    assert not outcome.lost
    assert outcome.created >= CREATES


@pytest.mark.parametrize("control", CONTROLS, ids=lambda each: each.name)
def test_a_vmguard_that_is_made_worse_loses_pods(services, tmp_path, control):
    """The scenarios can fail: the same load with a shorter keep-alive, or with a rotation that does not wait."""
    outcome = played(control, services, tmp_path, MOST, short=True)
    assert outcome.refused


@pytest.fixture
def installed_for_all(services, tmp_path):
    """An installation as `deploy/` makes it, for all namespaces, with two replicas, and what kills all of them."""
    with (
        service_network(services) as network,
        release(services, network, tmp_path) as installation,
    ):
        for each in configurations(Service(installation.namespace)):
            each["metadata"]["name"] = installation.name
            services.api.create(each)
        servers = [installation.replica() for _ in range(2)]
        network.reaches(*servers)
        wait_for(installation.admits, "a pod to be admitted")

        def kill():
            for server in servers:
                server.process.kill()
            network.leaves(*servers)

        yield installation, network, kill


def test_without_any_replica_the_cluster_starts_again_and_vmguard_with_it(services, installed_for_all):
    """Only pods of the operator are refused: nodes, their certificates, and all other pods do not need vmguard."""
    installation, network, kill = installed_for_all
    kill()
    assert not installation.admits()
    for thing, namespace in _needed_by_a_cluster(installation.namespace):
        services.api.create(thing, namespace)
    servers = [installation.replica() for _ in range(2)]
    network.reaches(*servers)
    wait_for(installation.admits, "a pod to be admitted again")
    (pod,) = owned_pods(services, [installation.pods])
    assert is_hardened(services.api.create(pod, installation.pods))


@pytest.mark.parametrize("level", ["off", "deny"])
def test_without_any_replica_a_resource_is_changed_and_deleted(services, installed_for_all, level):
    """Its status is written, its finalizers are removed and it goes, also where vmguard enforces deny."""
    installation, _, kill = installed_for_all
    _with_status(services)
    namespace = services.namespace(f"{installation.name}-{level}", {enforcement.LABEL: level})
    made = [services.api.create(_finalized(each), namespace) for each in RESOURCES]
    kill()
    for thing in made:
        version, kind, name = thing["apiVersion"], thing["kind"], thing["metadata"]["name"]
        path = services.api.path(version, kind, namespace, name)
        services.api.request("PATCH", f"{path}/status", {"status": {"reason": "gone"}}, MERGE)
        services.api.patch(version, kind, name, {"spec": {"logLevel": "INFO"}}, namespace)
        services.api.delete(version, kind, name, namespace)
        assert services.api.get(version, kind, name, namespace)["status"] == {"reason": "gone"}
        services.api.patch(version, kind, name, {"metadata": {"finalizers": None}}, namespace)
        assert services.api.find(version, kind, name, namespace) is None


def _needed_by_a_cluster(own_namespace):
    """What a cluster creates when it starts, with the namespace of each."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, "system:node:node-1"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    spec = {
        "request": base64.b64encode(request.public_bytes(Encoding.PEM)).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"],
    }
    certificate = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    yield {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-of-{own_namespace}"}}, ""
    yield {**certificate, "metadata": {"name": f"node-of-{own_namespace}"}, "spec": spec}, ""
    yield _pod("kube-proxy", "kube-proxy", hostNetwork=True), "kube-system"
    yield _pod(f"dns-of-{own_namespace}", "kube-dns"), "kube-system"
    yield _pod("vmguard-0", "vmguard"), own_namespace
    yield _pod("others", "others"), "default"


def _pod(name, app, **spec):
    containers = [{"name": app, "image": app}]
    metadata = {"name": name, "labels": {"app.kubernetes.io/name": app}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def _finalized(resource):
    thing = custom_resource("r", resource.kind)
    thing["metadata"]["finalizers"] = ["apps.victoriametrics.com/finalizer"]
    return thing


def _with_status(plane):
    """Give each resource the subresource `status`, as the operator's definitions do."""
    subresource = {"op": "add", "path": "/spec/versions/0/subresources", "value": {"status": {}}}
    for each in definitions():
        plane.api.patch(
            each["apiVersion"], each["kind"], each["metadata"]["name"], [subresource], how="application/json-patch+json"
        )

    def served():
        paths = plane.api.request("GET", f"/apis/{GROUP}/v1beta1")["resources"]
        return {"vmsingles/status", "vmclusters/status"} <= {each["name"] for each in paths}

    wait_for(served, "the status to be served")
