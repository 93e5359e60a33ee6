"""The generated webhook configurations."""

import base64

import pytest

from webhook.manifests.webhooks import Service, Url, configurations
from webhook.server.admission_handler import WEBHOOKS


def _webhooks(target, ca=b""):
    return [webhook for each in configurations(target, ca) for webhook in each["webhooks"]]


def test_the_server_serves_the_path_of_each_webhook():
    for webhook in _webhooks(Service()):
        assert webhook["clientConfig"]["service"]["path"] in WEBHOOKS


def test_a_url_replaces_the_service():
    paths = ["/mutate", "/validate", "/validate"]
    for webhook, path in zip(_webhooks(Url("https://127.0.0.1:9"), b"pem"), paths, strict=True):
        bundle = base64.b64encode(b"pem").decode()
        assert webhook["clientConfig"] == {"url": f"https://127.0.0.1:9{path}", "caBundle": bundle}


@pytest.mark.parametrize("target", [Service(), Url("https://127.0.0.1:9")])
def test_without_a_ca_there_is_no_bundle_key(target):
    """An empty value would conflict with the installed bundle, or remove it."""
    assert all("caBundle" not in webhook["clientConfig"] for webhook in _webhooks(target))


def test_pods_in_the_namespace_of_the_service_are_excluded():
    mutating, _ = configurations(Service(namespace="elsewhere"))
    (excluded,) = mutating["webhooks"][0]["namespaceSelector"]["matchExpressions"]
    assert excluded["values"] == ["kube-system", "elsewhere"]
