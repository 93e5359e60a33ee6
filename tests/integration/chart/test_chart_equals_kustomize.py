"""The chart installs what kustomize installs, object by object."""

import pytest
import yaml

from tests.controlplane.build import programs
from tests.support.helm import Helm
from tests.support.overlays import kustomization
from tests.support.programs import as_text

ONLY_HELMS = {"helm.sh/chart"}
"""Labels of the chart's objects that kustomize's do not have."""

MANAGER = "app.kubernetes.io/managed-by"
"""Its value differs: the tool that installs."""

ONLY_KUSTOMIZES = {"Namespace vmguard-system"}
"""Objects of the overlay: Helm makes the namespace of a release itself. The test pod is only the chart's; `rendered`
leaves it out."""

ISSUERS = {"Certificate vmguard-issuer", "Issuer vmguard-issuer", "Issuer vmguard-self-signed"}
"""The component for cert-manager has a CA of its own; the chart takes an issuer that is there."""

ISSUER = {"name": "vmguard-issuer", "kind": "Issuer", "group": "cert-manager.io"}

TEST_POD = {
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "vmguard-test", "app.kubernetes.io/instance": "vmguard"}}
}
"""A peer that only the NetworkPolicy of the chart lets in: the pod of `helm test`."""

COMPONENTS = {
    "": {},
    "enforce": {"mode": "enforce"},
    "enforce-deny": {"enforce": "deny"},
    "cert-manager": {"certManager": {"enabled": True, "issuerRef": ISSUER}},
    "vm-monitoring": {"serviceMonitor": {"enabled": True}, "rules": {"enabled": True}},
    "prometheus-operator": {
        "serviceMonitor": {"enabled": True, "vm": False},
        "rules": {"enabled": True, "vm": False},
    },
    "grafana-dashboard": {"dashboards": {"enabled": True}},
    "network-policy": {"networkPolicy": {"enabled": True}},
    "unhealthy-pod-eviction": {"podDisruptionBudget": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}},
}
"""The values that do what a component of kustomize does; "" is the default overlay without any."""


def _by_name(objects, manager):
    """Objects by kind and name, in the form in which both tools' are the same.

    A patch of kustomize moves entries and variables. Their order has no meaning: each has a name.
    """
    found = {}
    for thing in objects:
        _labels(thing, manager)
        for entry in thing.get("webhooks", ()):
            _as_expressions(entry["namespaceSelector"])
        thing.get("webhooks", []).sort(key=lambda each: each["name"])
        if thing["kind"] == "Deployment":
            thing["spec"]["template"]["spec"]["containers"][0]["env"].sort(key=str)
        found[f"{thing['kind']} {thing['metadata']['name']}"] = thing
    return found


def _as_expressions(selector):
    """A label in matchLabels selects what an expression with this one value selects; the order has no meaning."""
    labels = selector.pop("matchLabels", {}).items()
    selector["matchExpressions"] += [{"key": key, "operator": "In", "values": [value]} for key, value in labels]
    selector["matchExpressions"].sort(key=lambda each: (each["key"], each["operator"]))


def _labels(value, manager):
    """Check and take out the label of the tool, and Helm's own label, in the metadata of the object and of its pods."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if key == "metadata":
            assert inner["labels"].pop(MANAGER) == manager
            for each in ONLY_HELMS:
                inner["labels"].pop(each, None)
        else:
            _labels(inner, manager)


def _both(helm, folder, values, namespace="vmguard-system"):
    """The objects of the chart and of the overlay."""
    text = as_text([programs()["kubectl"], "kustomize", str(folder)])
    theirs = _by_name(yaml.safe_load_all(text), "kustomize")
    return _by_name(helm.rendered(values, namespace=namespace), "Helm"), theirs


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_objects_are_those_of_the_default_overlay(helm: Helm, can_have_control_plane, tmp_path, component):
    """And of the components that values have the effect of."""
    components = [f"deploy/components/{component}"] if component else []
    folder = kustomization(tmp_path, resources=["deploy/overlays/default"], components=components)
    ours, theirs = _both(helm, folder, COMPONENTS[component])
    for name in ONLY_KUSTOMIZES | (ISSUERS if component == "cert-manager" else set()):
        del theirs[name]
    if component == "network-policy":
        ours["NetworkPolicy vmguard"]["spec"]["ingress"][1]["from"].remove(TEST_POD)
    assert ours == theirs


def test_the_objects_are_those_of_the_overlay_for_one_namespace(helm: Helm, can_have_control_plane, tmp_path):
    """But that the chart's Role of the Secret has no `update`, like that of `vmguard manifests roles --watch`."""
    folder = kustomization(tmp_path, resources=["deploy/overlays/namespaced"])
    ours, theirs = _both(helm, folder, {"watchNamespaces": ["monitoring"]}, "monitoring")
    (rule,), (wider,) = (each["Role vmguard"].pop("rules") for each in (ours, theirs))
    assert rule == {**wider, "verbs": ["get"]}
    assert ours == theirs


def test_the_objects_are_those_of_the_overlay_for_openshift(helm: Helm, can_have_control_plane, tmp_path):
    folder = kustomization(tmp_path, resources=["deploy/overlays/openshift"])
    values = {"runAs": "platform", "podSecurityContext": {"runAsUser": None, "runAsGroup": None}}
    ours, theirs = _both(helm, folder, values)
    for name in ONLY_KUSTOMIZES:
        del theirs[name]
    assert ours == theirs
