"""Real API servers take the generated manifests, and an installed CA bundle outlives another apply."""

import base64

import pytest

from tests.support.command import vmguard
from tests.support.server import ROOT
from webhook.manifests.webhooks import Service, configurations

JSON_PATCH = "application/json-patch+json"
FILE = str(ROOT / "deploy" / "webhook.yaml")


@pytest.fixture(params=["plane", "plane_124"], ids=["1.37", "1.24"])
def installed(request):
    """A control plane; the configurations of the manifests are removed in the end."""
    plane = request.getfixturevalue(request.param)
    yield plane
    for each in configurations(Service()):
        plane.api.delete_if_there(each["apiVersion"], each["kind"], each["metadata"]["name"])


def _found(plane):
    """The stored configurations."""
    return [
        plane.api.get(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in configurations(Service())
    ]


@pytest.mark.parametrize("how", [[], ["--server-side"]], ids=["client-side", "server-side"])
def test_an_apply_keeps_the_installed_bundle(installed, how):
    bundle = base64.b64encode(installed.identities.ca.read_bytes()).decode()
    apply = ("apply", *how, "--validate=strict", "-f", FILE)
    done = installed.kubectl(*apply)
    assert done.returncode == 0, done.stderr
    for each in _found(installed):
        patch = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle}
            for index in range(len(each["webhooks"]))
        ]
        installed.api.patch(each["apiVersion"], each["kind"], each["metadata"]["name"], patch, how=JSON_PATCH)
    again = installed.kubectl(*apply)
    assert again.returncode == 0, again.stderr
    for each in _found(installed):
        bundles = [webhook["clientConfig"]["caBundle"] for webhook in each["webhooks"]]
        assert bundles == [bundle] * len(each["webhooks"])


@pytest.mark.parametrize("options", [[], ["--enforce-deny"]], ids=["by label", "everywhere"])
def test_the_stored_entries_are_the_generated_ones(installed, options):
    """No API server drops or changes a selector, a path or a failure policy."""
    status, text, _ = vmguard("manifests", "webhooks", *options)
    assert status == 0
    done = installed.kubectl("apply", "-f", "-", stdin=text)
    assert done.returncode == 0, done.stderr
    for generated, stored in zip(configurations(Service(), enforce_deny=bool(options)), _found(installed), strict=True):
        assert [_gist(webhook) for webhook in stored["webhooks"]] == [
            _gist(webhook) for webhook in generated["webhooks"]
        ]


@pytest.mark.parametrize(("name", "served"), [("plane", True), ("plane_124", False)], ids=["1.37", "1.24"])
def test_the_fence_is_taken_where_its_api_is_served(request, name, served):
    """Kubernetes has it since 1.30. An older API server says that it does not know the kind."""
    plane = request.getfixturevalue(name)
    file = ROOT / "deploy" / "components" / "fence" / "fence.yaml"
    done = plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(file))
    assert (done.returncode == 0) is served, done.stderr
    assert ('no matches for kind "ValidatingAdmissionPolicy"' in done.stderr) is not served


def _gist(webhook):
    selectors = {field: webhook.get(field) or {} for field in ("namespaceSelector", "objectSelector")}
    path = webhook["clientConfig"]["service"]["path"]
    return webhook["name"], path, webhook["failurePolicy"], selectors, webhook["rules"]
