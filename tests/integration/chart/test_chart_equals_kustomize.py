"""The chart installs what kustomize installs, object by object."""

import pytest
import yaml

from tests.controlplane.build import programs
from tests.support.helm import Helm
from tests.support.programs import as_text
from tests.support.server import ROOT

ONLY_HELMS = {"helm.sh/chart"}
"""Labels of the chart's objects that kustomize's do not have."""

MANAGER = "app.kubernetes.io/managed-by"
"""Its value differs: the tool that installs."""

ONLY_KUSTOMIZES = {"Namespace vmguard-system"}
"""Objects of the overlay: Helm makes the namespace of a release itself. The test pod is only the chart's; `rendered`
leaves it out."""

NARROWER = {"Role vmguard"}
"""With watchNamespaces vmguard writes no CA. So the role of the chart has no `update`, as that of
`vmguard manifests roles --watch`. The overlay takes the role of the base."""

OVERLAYS = {
    "default": ("vmguard-system", {}, set()),
    "namespaced": ("monitoring", {"watchNamespaces": ["monitoring"]}, NARROWER),
}
"""The namespace and the values that make a release the same as an overlay, and the roles that are narrower."""


def _by_name(objects, managers):
    """Objects by kind and name, in the form in which both tools' are the same."""
    found = {}
    for thing in objects:
        _labels(thing, managers)
        for entry in thing.get("webhooks", ()):
            entry["namespaceSelector"]["matchExpressions"].sort(key=str)
        if thing["kind"] == "Deployment":
            thing["spec"]["template"]["spec"]["containers"][0]["env"].sort(key=str)
        found[f"{thing['kind']} {thing['metadata']['name']}"] = thing
    return found


def _labels(value, manager):
    """Check and take out the label of the tool, and Helm's own label, wherever labels are."""
    if isinstance(value, list):
        for each in value:
            _labels(each, manager)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "labels":
                assert inner.pop(MANAGER) == manager
                for each in ONLY_HELMS:
                    inner.pop(each, None)
            else:
                _labels(inner, manager)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_objects_are_those_of_the_overlay(helm: Helm, can_have_control_plane, overlay):
    namespace, values, narrower = OVERLAYS[overlay]
    folder = ROOT / "deploy" / "overlays" / overlay
    text = as_text([programs()["kubectl"], "kustomize", folder])
    theirs = _by_name(yaml.safe_load_all(text), "kustomize")
    ours = _by_name(helm.rendered(values, namespace=namespace), "Helm")
    assert theirs.keys() - ours.keys() <= ONLY_KUSTOMIZES
    for name in narrower:
        (rule,), (wider,) = ours.pop(name)["rules"], theirs.pop(name)["rules"]
        assert rule == {**wider, "verbs": ["get"]}
    assert ours == {name: each for name, each in theirs.items() if name not in ONLY_KUSTOMIZES}
