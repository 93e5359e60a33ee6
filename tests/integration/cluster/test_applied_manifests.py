"""A real API server takes the generated manifests, and an installed CA bundle outlives another apply."""

import base64

import pytest

from tests.support.server import ROOT
from webhook.manifests.webhooks import Service, configurations

JSON_PATCH = "application/json-patch+json"
FILE = str(ROOT / "deploy" / "webhook.yaml")


@pytest.fixture
def no_configurations(plane):
    yield
    for each in configurations(Service()):
        plane.api.delete_if_there(each["apiVersion"], each["kind"], each["metadata"]["name"])


@pytest.mark.parametrize("how", [[], ["--server-side"]], ids=["client-side", "server-side"])
def test_an_apply_keeps_the_installed_bundle(plane, no_configurations, how):
    bundle = base64.b64encode(plane.identities.ca.read_bytes()).decode()
    apply = ("apply", *how, "--validate=strict", "-f", FILE)
    assert plane.kubectl(*apply).returncode == 0
    for each in configurations(Service()):
        patch = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle}
            for index in range(len(each["webhooks"]))
        ]
        plane.api.patch(each["apiVersion"], each["kind"], each["metadata"]["name"], patch, how=JSON_PATCH)
    again = plane.kubectl(*apply)
    assert again.returncode == 0, again.stderr
    for each in configurations(Service()):
        found = plane.api.get(each["apiVersion"], each["kind"], each["metadata"]["name"])
        assert [webhook["clientConfig"]["caBundle"] for webhook in found["webhooks"]] == [bundle] * len(
            each["webhooks"]
        )
