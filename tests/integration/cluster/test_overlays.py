"""The kustomize overlays are valid on the versions that they claim, and install a vmguard that secures pods."""

import copy
import json

import pytest
import yaml

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.fixtures import had
from tests.controlplane.service_network import service_network
from tests.support.availability_scenarios import availability_plane
from tests.support.command import vmguard
from tests.support.pod_load import is_hardened, owned_pods
from tests.support.server import ROOT, serving_own_certificate
from webhook.policy.enforcement import MODE_LABEL, MODE_VALUE
from webhook.server.run import DRAIN

DEFAULT = ROOT / "deploy" / "overlays" / "default"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def _rendered(plane, overlay=DEFAULT):
    """The objects of an overlay, by kubectl's own kustomize."""
    done = plane.kubectl("kustomize", str(overlay))
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module", params=["1.24", "1.37"])
def plane_of_version(request):
    return request.getfixturevalue("plane_124" if request.param == "1.24" else "plane")


@pytest.mark.parametrize("name", ["trial", "enforcing", "namespaced"])
def test_every_object_passes_strict_field_validation_and_the_pods_are_restricted(plane_of_version, tmp_path, name):
    """Sent as a dry run, as other tests use this control plane."""
    plane = plane_of_version
    namespace = plane.namespace(f"overlay-{name}", RESTRICTED)
    overlays = {"trial": DEFAULT, "namespaced": DEFAULT.parent / "namespaced"}
    for thing in _rendered(plane, overlays.get(name) or _enforcing(tmp_path / "overlay")):
        if thing["kind"] == "Namespace":
            continue
        if "namespace" in thing["metadata"]:
            thing["metadata"]["namespace"] = namespace
        plane.api.create(thing, namespace, dryRun="All", fieldValidation="Strict")
        if thing["kind"] == "Deployment":
            template = thing["spec"]["template"]
            template["spec"]["serviceAccountName"] = "default"
            pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
            pod["metadata"]["name"] = "replica"
            plane.api.create(pod, namespace, dryRun="All", fieldValidation="Strict")
            pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
            with pytest.raises(ApiError, match="violates PodSecurity"):
                plane.api.create(pod, namespace, dryRun="All")


def test_a_misspelt_field_is_refused(plane):
    """So the validation above can fail."""
    (account,) = [each for each in _rendered(plane) if each["kind"] == "ServiceAccount"]
    account["automountServiceAccountTokens"] = False
    account["metadata"]["namespace"] = "default"
    with pytest.raises(ApiError, match="unknown field"):
        plane.api.create(account, "default", dryRun="All", fieldValidation="Strict")


def test_no_object_has_a_ca_bundle_or_data_of_a_secret(plane):
    for thing in _rendered(plane):
        assert "caBundle" not in json.dumps(thing)
        assert not (thing["kind"] == "Secret" and {"data", "stringData"} & thing.keys())


def test_the_namespace_of_an_overlay_is_everywhere(plane, tmp_path):
    """As `kustomize edit set namespace monitoring` does it."""
    overlay = tmp_path / "mine"
    overlay.mkdir()
    (overlay / "base").symlink_to(ROOT / "deploy" / "base")
    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "monitoring",
        "resources": ["base"],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(text))
    made = _rendered(plane, overlay)
    assert "vmguard-system" not in json.dumps(made)
    for thing in made:
        for subject in thing.get("subjects", ()):
            assert subject["namespace"] == "monitoring"
        for entry in thing.get("webhooks", ()):
            assert entry["clientConfig"]["service"]["namespace"] == "monitoring"


@pytest.fixture(scope="module")
def services(pytestconfig, can_have_control_plane):
    """A control plane of its own, as the overlay selects all namespaces; it reaches Services by EndpointSlices."""
    made = availability_plane()
    yield had(pytestconfig, made.__enter__)
    made.__exit__(None, None, None)


def _environment(deployment):
    """The environment of the container, as the kubelet would make it."""
    namespace = deployment["metadata"]["namespace"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["serve"]
    settings = {each["name"]: each.get("value") or namespace for each in container["env"]}
    spec = deployment["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > float(settings["VMGUARD_SHUTDOWN_DELAY"]) + DRAIN
    return {**settings, "VMGUARD_SHUTDOWN_DELAY": "0"}  # no test waits for it


def _enforcing(folder):
    """The overlay of somebody who has added a variable before, and adds the component."""
    folder.mkdir()
    variable = {"name": "VMGUARD_LOG_LEVEL", "value": "debug"}
    container = {"name": "vmguard", "env": [variable]}
    added = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "vmguard", "namespace": "vmguard-system"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    (folder / "common").mkdir()
    (folder / "common" / "overlays").symlink_to(ROOT / "deploy" / "overlays")
    (folder / "common" / "base").symlink_to(ROOT / "deploy" / "base")
    common = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["overlays/default"],
        "patches": [{"patch": yaml.safe_dump(added)}],
    }
    (folder / "common" / "kustomization.yaml").write_text(yaml.safe_dump(common))
    (folder / "components").symlink_to(ROOT / "deploy" / "components")
    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["common"],
        "components": ["components/enforce"],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))
    return folder


def _applied(plane, overlay, namespace="vmguard-system"):
    done = plane.kubectl("apply", "--server-side", "-k", str(overlay))
    assert done.returncode == 0, done.stderr
    return plane.api.get("apps/v1", "Deployment", "vmguard", namespace)


def test_a_trial_blocks_nothing_enforcing_secures_and_the_end_leaves_nothing(services, tmp_path):
    """vmguard runs as the ServiceAccount of the overlay, behind its Service, with its environment; nothing is added."""
    plane = services
    enforcing = _enforcing(tmp_path / "overlay")
    deployment = _applied(plane, DEFAULT)
    service = plane.api.get("v1", "Service", "vmguard", "vmguard-system")
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    pod, first = owned_pods(plane, [plane.namespace("shop"), plane.namespace("first")])
    kubeconfig = plane.kubeconfig_with(plane.token("vmguard-system", account), "installed")
    with service_network(plane) as network:
        assert not is_hardened(plane.api.create(pod, "shop")), "the trial is down, and blocks nothing"
        with serving_own_certificate(
            _folder(tmp_path, "trial"), kubeconfig, **_environment(deployment), **network.listen()
        ) as server:
            network.add(service, server)
            network.reaches(server)
            would = 'vmguard_admission_requests_total{outcome="would-patch",webhook="mutate"}'

            def reported():
                assert not is_hardened(plane.api.create(pod, "shop"))
                return would in server.operation("/metrics")[1]

            wait_for(reported, "the trial to say what it would do")
            plane.api.patch("v1", "Namespace", "first", {"metadata": {"labels": {MODE_LABEL: MODE_VALUE}}})
            in_force = wait_for(lambda: _hardened(plane, first), "the label to be learnt")
            assert in_force
            assert not is_hardened(plane.api.create(pod, "shop")), "the other namespace is in the trial"
        network.leaves(server)
        assert _created(plane, first) is None, "without vmguard no pod is created where the namespace has the label"
        assert not is_hardened(plane.api.create(pod, "shop"))
        plane.api.patch("v1", "Namespace", "first", {"metadata": {"labels": {MODE_LABEL: None}}})
        assert not is_hardened(wait_for(lambda: _created(plane, first), "the end of the label to be learnt"))
        deployment = _applied(plane, enforcing)
        assert _created(plane, pod) is None, "without vmguard no pod is created"
        with serving_own_certificate(
            _folder(tmp_path, "enforcing"), kubeconfig, **_environment(deployment), **network.listen()
        ) as server:
            network.add(service, server)
            network.reaches(server)
            assert is_hardened(wait_for(lambda: _created(plane, pod), "a pod to be admitted"))
            _applied(plane, enforcing)
            assert is_hardened(plane.api.create(pod, "shop")), "an apply keeps the CA bundle and the CA"
    gone = plane.kubectl("delete", "-k", str(enforcing), "--wait=false")
    assert gone.returncode == 0, gone.stderr
    assert not is_hardened(wait_for(lambda: _created(plane, pod), "pods to be created without vmguard"))


def _hardened(plane, pod):
    """Whether a pod is created now, and is hardened."""
    made = _created(plane, pod)
    return made is not None and is_hardened(made)


def _folder(folder, name):
    (folder / name).mkdir()
    return folder / name


def test_the_namespaced_overlay_secures_one_namespace_by_roles_alone(services, tmp_path):
    """The owner of the namespace makes the CA, and an administrator of the cluster lets the configurations trust it."""
    plane = services
    config = str(plane.kubeconfig())
    own, other = owned_pods(plane, [plane.namespace("monitoring"), plane.namespace("unwatched")])
    overlay = ROOT / "deploy" / "overlays" / "namespaced"
    deployment = _applied(plane, overlay, "monitoring")
    status, secret, err = vmguard("certs", "init", "--namespace", "monitoring", "--ca-file", "ca.crt", cwd=tmp_path)
    assert status == 0, err
    done = plane.kubectl("apply", "--server-side", "--field-manager=vmguard-certs", "-f", "-", stdin=secret)
    assert done.returncode == 0, done.stderr
    assert vmguard("certs", "trust", "ca.crt", cwd=tmp_path, KUBECONFIG=config)[0] == 0
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    kubeconfig = plane.kubeconfig_with(plane.token("monitoring", account), "namespaced")
    service = plane.api.get("v1", "Service", "vmguard", "monitoring")
    settings = {**_environment(deployment), "VMGUARD_MODE": "enforce"}
    with (
        service_network(plane) as network,
        serving_own_certificate(_folder(tmp_path, "server"), kubeconfig, **settings, **network.listen()) as server,
    ):
        network.add(service, server)
        network.reaches(server)
        wait_for(lambda: _hardened(plane, own), "a pod to be hardened")
        assert not is_hardened(plane.api.create(other, "unwatched"))
        _applied(plane, overlay, "monitoring")
        assert plane.api.get("v1", "Secret", "vmguard-ca", "monitoring")["data"], "an apply keeps the CA"
        assert _hardened(plane, own)
        forbidden = [line for line in server.lines() if "may not" in line.get("reason", "")]
        assert all("webhookconfigurations" in line["reason"] for line in forbidden), "it need not read them"
    assert plane.kubectl("delete", "-k", str(overlay), "--wait=false").returncode == 0


def _created(plane, pod):
    """The stored pod, None where the API server cannot call vmguard."""
    try:
        return plane.api.create(pod, pod["metadata"]["namespace"])
    except ApiError as error:
        if "failed calling webhook" in str(error):
            return None
        raise
