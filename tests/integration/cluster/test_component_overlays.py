"""The components of `deploy/` are valid on the versions that they claim, fit each other, and follow the namespace."""

import copy
import itertools
import json
import re

import pytest
import yaml

from tests.controlplane.api import ApiError
from tests.support.foreign_definitions import foreign_kinds
from tests.support.installed_entries import entries_of
from tests.support.overlays import DEFAULT, OVERLAYS, container_environment, documented_overlay, overlay, rendered
from tests.support.server import ROOT
from tests.support.strict_creates import RESTRICTED, refused, replica_of
from webhook.manifests.kustomize_components import COMPONENTS
from webhook.manifests.weaker_entries import weaker
from webhook.settings import SETTINGS, Settings

FOLLOWING = [name for name, component in COMPONENTS.items() if component.beside]
"""The components that an overlay for another namespace must help."""


@pytest.fixture(scope="module")
def kubectl(can_have_control_plane):
    """kubectl is there."""


@pytest.fixture(scope="module", params=["1.24", "1.37"])
def plane_of_version(request):
    """A control plane that also has definitions of cert-manager and of the Prometheus operator."""
    plane = request.getfixturevalue("plane_124" if request.param == "1.24" else "plane")
    with foreign_kinds(plane):
        yield plane


def _minor(version):
    return int(version.partition(".")[2])


def _claimed(component, version):
    since, until = _minor(component.since or "1.21"), _minor(component.until or "1.99")
    return since <= _minor(version) <= until


def _refused(plane, objects, namespace):
    """Why the objects are refused in this namespace, "" where they are not."""
    sent = [copy.deepcopy(each) for each in objects if each["kind"] != "Namespace"]
    for each in sent:
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = namespace
    return refused(plane, sent)


def _accepted_pod(plane, objects, namespace):
    """The pod of vmguard, which the API server admits at the level restricted."""
    pod = replica_of(objects)
    plane.api.create(pod, namespace, dryRun="All", fieldValidation="Strict")
    return pod


SWITCHED_OFF = {("match-conditions", "1.27")}
"""Components with a field that this version knows, and drops because its feature gate is off."""


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_is_valid_on_exactly_the_versions_that_it_claims(plane_of_version, tmp_path, name):
    """On an older or newer one a field is not known, or no such kind is served."""
    plane, component = plane_of_version, COMPONENTS[name]
    if (name, plane.version) in SWITCHED_OFF:
        pytest.skip(f"Kubernetes {plane.version} knows the field and has it switched off")
    objects = rendered(overlay(tmp_path / "overlay", [name]))
    namespace = plane.namespace(f"component-{name}", RESTRICTED)
    why = _refused(plane, objects, namespace)
    if _claimed(component, plane.version):
        assert not why
        _accepted_pod(plane, objects, namespace)
    elif name != "default-policies":  # the API server cannot know that; vmguard does not start with that setting
        assert re.search(r"unknown field|no matches for kind", why)


def test_a_misspelt_field_of_a_foreign_kind_is_refused(plane_of_version, tmp_path):
    """So the validation above can fail for kinds that are not those of Kubernetes."""
    plane = plane_of_version
    objects = rendered(overlay(tmp_path / "overlay", ["cert-manager"]))
    for each in objects:
        if each["kind"] == "Certificate":
            each["spec"]["dnsName"] = each["spec"].pop("dnsNames", [])
    assert "unknown field" in _refused(plane, objects, plane.namespace("misspelt"))


@pytest.mark.parametrize("resource", OVERLAYS)
def test_an_overlay_with_all_components_of_a_version_is_valid_and_its_pods_are_restricted(
    plane_of_version, tmp_path, resource
):
    plane = plane_of_version
    names = [name for name, component in COMPONENTS.items() if _claimed(component, plane.version)]
    namespace = plane.namespace(f"all-of-{resource.rpartition('/')[2]}", RESTRICTED)
    objects = rendered(overlay(tmp_path / "overlay", names, resource, namespace=namespace, replaced=_known(names)))
    assert not _refused(plane, objects, namespace)
    pod = _accepted_pod(plane, objects, namespace)
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(ApiError, match="violates PodSecurity"):
        plane.api.create(pod, namespace, dryRun="All")


def _known(names):
    """The components among these that need a replacement in another namespace."""
    return [name for name in FOLLOWING if name in names]


def _by_name(objects):
    """Objects that do not depend on the order of patches: by kind and name, with entries by name."""
    found = {}
    for thing in copy.deepcopy(objects):
        if "webhooks" in thing:
            thing["webhooks"] = sorted(thing["webhooks"], key=lambda entry: entry["name"])
        if thing["kind"] == "Deployment":
            for container in thing["spec"]["template"]["spec"]["containers"]:
                container["env"].sort(key=lambda variable: variable["name"])
        found[thing["kind"], thing["metadata"]["name"]] = thing
    return found


def test_components_fit_each_other_in_any_order(kubectl, tmp_path):
    """Those that change the entries, in each order; and all of them, forwards and backwards.

    That no two components change the same field is a test of their table.
    """
    folder = overlay(tmp_path / "overlay")
    for names in (("enforce", "enforce-deny", "match-conditions"), tuple(COMPONENTS)):
        orders = itertools.permutations(names) if len(names) == 3 else (names, names[::-1])
        first, *others = (_by_name(_with(folder, order)) for order in orders)
        assert all(each == first for each in others)
        for thing in first.values():
            for entry in thing.get("webhooks", ()):
                assert {"clientConfig", "rules", "failurePolicy", "sideEffects"} <= entry.keys()


def _with(folder, names):
    """The objects of an overlay with other components than before."""
    file = folder / "kustomization.yaml"
    text = {**yaml.safe_load(file.read_text()), "components": [f"deploy/components/{name}" for name in names]}
    file.write_text(yaml.safe_dump(text))
    return rendered(folder)


def test_enforcing_and_denying_entries_fail_and_go_to_the_enforced_paths(kubectl, tmp_path):
    """The two components together give what each gives alone."""
    objects = rendered(overlay(tmp_path / "overlay", ["enforce", "enforce-deny", "match-conditions"]))
    for thing in objects:
        for entry in thing.get("webhooks", ()):
            if entry["rules"][0]["resources"] != ["pods"]:
                continue
            assert entry["clientConfig"]["service"]["path"].endswith("/enforced")
            assert (entry["failurePolicy"], entry["timeoutSeconds"]) == ("Fail", 10)
            assert "matchConditions" not in entry
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert (variables["VMGUARD_MODE"], variables["VMGUARD_ENFORCE"]) == ("enforce", "deny")


def test_the_overlay_for_one_namespace_stays_narrow_with_every_component(kubectl, tmp_path):
    """A component that changes selectors keeps the label by which the overlay narrows them."""
    for thing in rendered(
        overlay(tmp_path / "overlay", list(COMPONENTS), "overlays/namespaced", namespace="monitoring")
    ):
        for entry in thing.get("webhooks", ()):
            assert entry["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
            assert entry["namespaceSelector"]["matchExpressions"]


@pytest.mark.parametrize("resource", OVERLAYS)
def test_nothing_has_a_ca_bundle_data_of_a_secret_or_the_label_of_the_operators_pods(kubectl, tmp_path, resource):
    for thing in rendered(overlay(tmp_path / "overlay", list(COMPONENTS), resource)):
        assert all("caBundle" not in entry["clientConfig"] for entry in thing.get("webhooks", ()))
        assert not (thing["kind"] == "Secret" and {"data", "stringData"} & thing.keys())
        template = thing.get("spec", {}).get("template", {}) if thing["kind"] == "Deployment" else {}
        for labels in (thing["metadata"].get("labels", {}), template.get("metadata", {}).get("labels", {})):
            assert labels.get("managed-by") != "vm-operator"


def test_the_base_has_no_namespace(kubectl, tmp_path):
    """Otherwise a user who deletes an overlay of it would delete the whole namespace."""
    objects = rendered(overlay(tmp_path / "overlay", list(COMPONENTS), "base"))
    assert "Namespace" not in {each["kind"] for each in objects}


@pytest.mark.parametrize("resource", ["base", DEFAULT])
def test_components_follow_the_namespace_of_the_overlay(kubectl, tmp_path, resource):
    objects = rendered(
        overlay(tmp_path / "overlay", list(COMPONENTS), resource, namespace="elsewhere", replaced=FOLLOWING)
    )
    assert "vmguard-system" not in json.dumps(objects)
    found = _by_name(objects)
    (condition,) = found["ValidatingAdmissionPolicy", "vmguard-fence"]["spec"]["matchConditions"]
    assert condition["expression"] == "request.userInfo.username == 'system:serviceaccount:elsewhere:vmguard'"
    assert found["Certificate", "vmguard-serving"]["spec"]["dnsNames"] == ["vmguard.elsewhere.svc"]
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        annotations = found[kind, "vmguard"]["metadata"]["annotations"]
        assert annotations == {"cert-manager.io/inject-ca-from": "elsewhere/vmguard-serving"}
    for name in ("vmguard", "vmguard-leader-election"):
        for rule in found["FlowSchema", name]["spec"]["rules"]:
            assert [each["serviceAccount"]["namespace"] for each in rule["subjects"]] == ["elsewhere"]


def test_without_the_replacement_the_fence_names_the_wrong_account(kubectl, tmp_path):
    """So the test above can fail, and the documentation has to say it."""
    objects = rendered(overlay(tmp_path / "overlay", ["fence"], "base", namespace="elsewhere"))
    assert "system:serviceaccount:vmguard-system:vmguard" in json.dumps(objects)


def test_the_overlay_that_the_documentation_prints_has_its_namespace_everywhere(kubectl, tmp_path):
    printed = json.dumps(rendered(documented_overlay(tmp_path / "overlay", "Another namespace")))
    assert "vmguard-system" not in printed
    assert "system:serviceaccount:monitoring:vmguard" in printed
    assert "vmguard.monitoring.svc" in printed


def test_components_of_the_overlay_for_one_namespace_are_in_it(kubectl, tmp_path):
    """As the documentation prints it."""
    printed = json.dumps(rendered(documented_overlay(tmp_path / "overlay", "One namespace, without a ClusterRole")))
    assert "vmguard-system" not in printed
    assert "NetworkPolicy" in printed


def test_the_port_changes_as_the_documentation_prints_it(kubectl, tmp_path):
    """The patch for private control planes."""
    text = (ROOT / "docs" / "install.md").read_text().split("## Private control planes")[1]
    patches = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    folder = overlay(tmp_path / "overlay")
    file = folder / "kustomization.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **patches}))
    (deployment,) = (each for each in rendered(folder) if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == {
        "webhook": 10250,
        "operations": 8080,
    }
    assert container_environment(deployment)["VMGUARD_LISTEN"] == ":10250"


@pytest.mark.parametrize("resource", OVERLAYS)
def test_vmguard_accepts_the_environment_of_each_overlay_with_all_components(kubectl, tmp_path, resource):
    (deployment,) = (
        each
        for each in rendered(overlay(tmp_path / "overlay", list(COMPONENTS), resource, namespace="elsewhere"))
        if each["kind"] == "Deployment"
    )
    environment = container_environment(deployment)
    settings = Settings.from_environment(environment)
    assert (settings.mode, settings.enforce, settings.psp_autocreate) == ("enforce", "deny", True)
    assert settings.run_as == ("platform" if resource.endswith("openshift") else "65534")
    assert environment.keys() <= {each.name for each in SETTINGS.values()}


def test_openshift_may_assign_users_and_groups(kubectl, tmp_path):
    """As the SecurityContextConstraints restricted-v2 does, which refuses numbers that are not of its range."""
    for components in ([], list(COMPONENTS)):
        folder = overlay(tmp_path / f"overlay-{len(components)}", components, "overlays/openshift")
        pod = replica_of(rendered(folder))["spec"]
        (container,) = pod["containers"]
        numbers = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "seLinuxOptions"}
        assert not numbers & {*pod["securityContext"], *container["securityContext"]}
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert all({"secret", "projected"} & volume.keys() for volume in pod.get("volumes", ()))
        assert not any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC"))
        assert {"name": "VMGUARD_RUN_AS", "value": "platform"} in container["env"]


@pytest.mark.parametrize(
    "components", [(), ("enforce",), ("enforce-deny",), ("enforce", "enforce-deny"), ("match-conditions",)]
)
@pytest.mark.parametrize("resource", OVERLAYS)
@pytest.mark.usefixtures("kubectl")
def test_no_overlay_has_entries_that_vmguard_reports_as_weaker(tmp_path, resource, components):
    objects = rendered(overlay(tmp_path, components, resource))
    trial = "enforce" not in components
    assert weaker(entries_of(objects), name="vmguard", trial=trial) == ()
    assert weaker(entries_of(objects), name="vmguard", trial=None) == ()
