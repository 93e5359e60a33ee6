"""What the components of `deploy/` change, on real API servers and through a real Service."""

import base64
import copy
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from certs import DirectoryStore, ensure
from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.fixtures import had
from tests.controlplane.service_network import service_network
from tests.support.availability_scenarios import availability_plane
from tests.support.foreign_definitions import foreign_kinds
from tests.support.overlays import applied, container_environment, documented_overlay, overlay
from tests.support.pod_load import is_hardened, owned_pods
from tests.support.resource_manifests import custom_resource
from tests.support.server import serving_own_certificate
from webhook.manifests.cert_manager import INJECTION

ADMISSION = "admissionregistration.k8s.io/v1"
CONFIGURATIONS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
NAMESPACE = "vmguard-system"
JSON_PATCH = "application/json-patch+json"


@pytest.fixture(scope="module")
def services(pytestconfig, can_have_control_plane):
    """A control plane that reaches Services by EndpointSlices, with definitions of cert-manager.

    While it is there this thread is in its network namespace, so no test of this module may start a shared one.
    """
    made = availability_plane()
    plane = had(pytestconfig, made.__enter__)
    with foreign_kinds(plane):
        yield plane
    made.__exit__(None, None, None)


@contextmanager
def _running(plane, folder, deployment, network, **more):
    """vmguard as the ServiceAccount of the Deployment, with its environment, behind the Service."""
    folder.mkdir(parents=True, exist_ok=True)
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    kubeconfig = plane.kubeconfig_with(plane.token(NAMESPACE, account), folder.name)
    settings = {**container_environment(deployment), "VMGUARD_SHUTDOWN_DELAY": "0", **network.listen(), **more}
    with serving_own_certificate(folder, kubeconfig, **settings) as server:
        network.add(plane.api.get("v1", "Service", "vmguard", NAMESPACE), server)
        network.reaches(server)
        yield server


def _answer(plane, thing, namespace, verb="create"):
    """The warnings, or the error, with which the API server answers."""
    try:
        getattr(plane.api, verb)(*((thing, namespace) if verb == "create" else (thing,)))
    except ApiError as error:
        return str(error)
    return " ".join(plane.api.warnings)


def _hardened(plane, pod):
    """Whether vmguard fills a pod now; a dry run."""
    try:
        return is_hardened(plane.api.create(pod, pod["metadata"]["namespace"], dryRun="All"))
    except ApiError as error:
        if "failed calling webhook" in str(error):
            return False
        raise


def _weak(pod):
    """The same pod with a container that vmguard never changes, as fields that are there stay."""
    weak = copy.deepcopy(pod)
    weak["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return weak


def _reviews(server):
    """The number of reviews that vmguard has answered on `/validate`."""
    lines = server.operation("/metrics")[1].splitlines()
    counts = [
        line for line in lines if line.startswith("vmguard_admission_requests_total{") and 'webhook="validate"' in line
    ]
    return sum(float(line.rpartition(" ")[2]) for line in counts)


def test_with_cert_manager_its_certificate_is_served_and_vmguard_writes_nothing(services, tmp_path):
    """The test plays cert-manager: it signs the names of the Certificate, and writes the bundle.

    It comes first, so that nothing of another installation is left: no Secret, and no Role to read it.
    """
    plane = services
    (pod,) = owned_pods(plane, [plane.namespace("certified")])
    folder = overlay(tmp_path / "overlay", ["cert-manager", "enforce"])
    deployment = applied(plane, folder)
    assert plane.api.find("v1", "Secret", "vmguard-ca", NAMESPACE) is None
    certificate = plane.api.get("cert-manager.io/v1", "Certificate", "vmguard-serving", NAMESPACE)
    files = tmp_path / "files"
    ensure(DirectoryStore(files), tuple(certificate["spec"]["dnsNames"]), now=datetime.now(UTC))
    bundle = base64.b64encode((files / "ca.crt").read_bytes()).decode()
    for kind in CONFIGURATIONS:
        found = plane.api.get(ADMISSION, kind, "vmguard")
        assert found["metadata"]["annotations"][INJECTION] == f"{NAMESPACE}/vmguard-serving"
        for entry in found["webhooks"]:
            entry["clientConfig"]["caBundle"] = bundle
        plane.api.replace(found)
    with (
        service_network(plane) as network,
        _running(plane, tmp_path / "server", deployment, network, VMGUARD_CERT_DIR=str(files)) as server,
    ):
        wait_for(lambda: _hardened(plane, pod), "a pod to be filled")
        leading = 'leader_election_master_status{name="vmguard"} 1.0'
        wait_for(lambda: leading in server.operation("/metrics")[1], "the leader")
        _wipe(plane)
        wrong = 'vmguard_webhook_ca_bundle_ok{configuration="MutatingWebhookConfiguration"} 0.0'
        wait_for(lambda: wrong in server.operation("/metrics")[1], "vmguard to see that the bundle is wrong")
        assert not [line for line in server.lines() if "may not" in line.get("reason", "")], "no permission is missing"
        account = plane.api_with(plane.token(NAMESPACE, "vmguard"))
        for kind in CONFIGURATIONS:
            entries = plane.api.get(ADMISSION, kind, "vmguard")["webhooks"]
            assert not [each for each in entries if each["clientConfig"].get("caBundle")], "vmguard repairs nothing"
            with pytest.raises(ApiError, match="cannot patch"):
                account.patch(ADMISSION, kind, "vmguard", {"metadata": {"labels": {"a": "b"}}})
    _uncalled(plane)


def _uncalled(plane):
    """Delete the configurations. No controller of this control plane could end a namespace, so the rest stays."""
    for kind in CONFIGURATIONS:
        plane.api.delete(ADMISSION, kind, "vmguard")


def _wipe(plane):
    for kind in CONFIGURATIONS:
        found = plane.api.get(ADMISSION, kind, "vmguard")
        for entry in found["webhooks"]:
            del entry["clientConfig"]["caBundle"]
        plane.api.replace(found)


def test_enforce_deny_denies_and_match_conditions_save_calls_and_no_denial(services, tmp_path):
    """All components of this version that change what is called, together, with the fence and flow control."""
    plane = services
    everything = ["match-conditions", "flow-control", "fence", "enforce-deny", "enforce", "unhealthy-pod-eviction"]
    (pod,) = owned_pods(plane, [plane.namespace("denied")])
    with service_network(plane) as network:
        reporting = applied(plane, overlay(tmp_path / "report", ["enforce-deny"]))
        with _running(plane, tmp_path / "reporting", reporting, network) as server:
            would = 'vmguard_admission_requests_total{outcome="would-deny",webhook="mutate"}'

            def reported():
                plane.api.create(_weak(pod), "denied", dryRun="All")
                return would in server.operation("/metrics")[1]

            wait_for(reported, "the trial to report the denial")
        network.leaves(server)
        folder = overlay(tmp_path / "all", everything)
        with _running(plane, tmp_path / "denying", applied(plane, folder), network) as server:
            wait_for(lambda: _hardened(plane, pod), "a pod to be filled")
            wait_for(lambda: "denied the request" in _answer(plane, _weak(pod), "denied"), "the denial")
            _resources_are_judged(plane, server)
        network.leaves(server)
        with pytest.raises(ApiError, match="failed calling webhook"):
            plane.api.create(pod, "denied")
    _uncalled(plane)


def _resources_are_judged(plane, server):
    """A denial and a warning hold for a changed spec, also of a large resource; other updates are not sent."""
    odd = custom_resource("odd", securityContext="none")
    assert "denied the request" in _answer(plane, odd, "denied")
    made = plane.api.create(custom_resource("known"), "denied")
    before = _reviews(server)
    for value in ("one", "two"):
        annotated = {**made, "metadata": {**made["metadata"], "annotations": {"example.com/note": value}}}
        made = plane.api.replace(annotated)
    made["metadata"]["finalizers"] = ["example.com/wait"]
    made = plane.api.replace(made)
    assert _reviews(server) == before, "no call for metadata"
    wrong = {**made, "spec": {**made["spec"], "securityContext": "none"}}
    assert "denied the request" in _answer(plane, wrong, "denied", "replace")
    assert _reviews(server) == before + 1
    unset = {key: value for key, value in made.items() if key != "spec"}
    made = plane.api.replace(unset)
    assert _reviews(server) == before + 2, "a spec that is removed"
    large = {**made, "spec": {"extraArgs": {f"argument-{number}": "v" * 1000 for number in range(1000)}}}
    made = plane.api.replace(large)
    assert _reviews(server) == before + 3, "a spec of a megabyte"
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "some", "uid": "1"}
    made["metadata"]["ownerReferences"] = [owner]
    made = plane.api.replace(made)
    assert _reviews(server) == before + 4, "other owners"
    made["metadata"]["labels"] = {"example.com/note": "three"}
    made = plane.api.replace(made)
    assert _reviews(server) == before + 4, "owners and a large spec that stay"
    plane.api.delete(made["apiVersion"], made["kind"], "known", "denied")
    patch = [{"op": "remove", "path": "/metadata/finalizers"}]
    plane.api.patch(made["apiVersion"], made["kind"], "known", patch, "denied", JSON_PATCH)
    assert _reviews(server) == before + 4, "no call while it is deleted"
    assert plane.api.find(made["apiVersion"], made["kind"], "known", "denied") is None


def test_the_overlay_for_another_namespace_can_be_applied_again_and_removed(services, tmp_path):
    """kustomize writes a namespace into the fence and into FlowSchemas, which have none; the API server drops it."""
    plane = services
    plane.namespace("monitoring")
    folder = documented_overlay(tmp_path / "overlay", "Another namespace")
    text = (folder / "kustomization.yaml").read_text()
    more = text.replace("components:\n", "components:\n- deploy/components/flow-control\n")
    (folder / "kustomization.yaml").write_text(more)
    for _ in range(2):
        applied(plane, folder, "monitoring")
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        assert "namespace" not in plane.api.get(ADMISSION, kind, "vmguard-fence")["metadata"]
    schema = plane.api.get("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "vmguard")
    account = {"name": "vmguard", "namespace": "monitoring"}
    assert [each["serviceAccount"] for each in schema["spec"]["rules"][0]["subjects"]] == [account]
    done = plane.kubectl("delete", "-k", str(folder), "--wait=false")
    assert done.returncode == 0, done.stderr
    assert plane.api.find("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "vmguard") is None
    assert plane.api.find("v1", "Namespace", "monitoring"), "the namespace was there before"
