"""The generated webhook configurations, and the file that people apply."""

import base64

import yaml

from tests.support.server import ROOT
from webhook.manifests.webhooks import Service, Url, configurations
from webhook.server.admission_handler import WEBHOOKS


def test_the_file_to_apply_is_what_the_tables_say():
    documents = yaml.safe_load_all((ROOT / "deploy" / "webhook.yaml").read_text())
    assert tuple(documents) == configurations(Service(), b"")


def _webhooks(where, ca=b""):
    return [webhook for each in configurations(where, ca) for webhook in each["webhooks"]]


def test_each_webhook_is_served():
    for webhook in _webhooks(Service()):
        assert webhook["clientConfig"]["service"]["path"] in WEBHOOKS


def test_a_url_takes_the_place_of_the_service():
    paths = ["/mutate", "/validate", "/validate"]
    for webhook, path in zip(_webhooks(Url("https://127.0.0.1:9"), b"pem"), paths, strict=True):
        authority = base64.b64encode(b"pem").decode()
        assert webhook["clientConfig"] == {"url": f"https://127.0.0.1:9{path}", "caBundle": authority}


def test_pods_of_its_own_namespace_are_never_asked_about():
    mutating, _ = configurations(Service(namespace="elsewhere"), b"")
    (spared,) = mutating["webhooks"][0]["namespaceSelector"]["matchExpressions"]
    assert spared["values"] == ["kube-system", "elsewhere"]
