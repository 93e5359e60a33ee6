"""Readiness depends at the start, and only then, on whether the API server trusts the certificate."""

import base64
import itertools
from contextlib import contextmanager
from pathlib import Path

import pytest

from certs import Authority
from tests.controlplane.api import wait_for
from tests.support.accounts import Account
from tests.support.certificates import DAY, NOON
from tests.support.server import serving_cluster
from webhook.manifests.webhooks import Url, configurations

ADMISSION = "admissionregistration.k8s.io/v1"
KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
OTHER = Authority.create("another CA", now=NOON, lifetime=DAY).certificate_pem

_COUNT = itertools.count(1)


@pytest.fixture
def name():
    """The name of both configurations; no client calls the port in them."""
    return f"trust-{next(_COUNT)}"


@contextmanager
def configured(plane, name, ca):
    for each in configurations(Url("https://localhost:1"), ca):
        each["metadata"]["name"] = name
        for entry in each["webhooks"]:
            entry.setdefault("namespaceSelector", {})["matchLabels"] = {"vmguard-test": "none"}
        plane.api.create(each)
    try:
        yield
    finally:
        for kind in KINDS:
            plane.api.delete(ADMISSION, kind, name)


def install(plane, name, ca):
    for kind in KINDS:
        found = plane.api.get(ADMISSION, kind, name)
        for entry in found["webhooks"]:
            entry["clientConfig"]["caBundle"] = base64.b64encode(ca).decode()
        plane.api.replace(found)


def test_a_replica_is_not_ready_before_its_certificate_is_trusted_and_stays_ready(plane, name, tmp_path):
    with (
        configured(plane, name, OTHER),
        serving_cluster(tmp_path, plane.kubeconfig(), VMGUARD_WEBHOOK_CONFIGURATION=name) as server,
    ):
        status, text = server.operation("/readyz")
        assert status == 503
        assert f"[-]webhook-configurations MutatingWebhookConfiguration {name}: the caBundle of the entry" in text
        assert server.operation("/livez") == (200, "ok")
        install(plane, name, Path(server.ca).read_bytes())
        wait_for(lambda: server.operation("/readyz") == (200, "ok"), "it to be ready")
        install(plane, name, OTHER)
        wait_for(lambda: "[!]ca-bundles" in server.operation("/readyz?verbose")[1], "the mismatch")
        assert server.operation("/readyz") == (200, "ok")
        for kind in KINDS:
            assert f'vmguard_webhook_ca_bundle_ok{{configuration="{kind}"}} 0.0' in server.operation("/metrics")[1]
        assert {line["configuration"] for line in server.lines() if line["message"] == "CA bundle wrong"} == {
            f"{kind} {name}" for kind in KINDS
        }


def test_absent_and_unreadable_configurations_do_not_count(plane, name, tmp_path):
    for folder in ("absent", "unreadable"):
        (tmp_path / folder).mkdir()
    with serving_cluster(tmp_path / "absent", plane.kubeconfig(), VMGUARD_WEBHOOK_CONFIGURATION=name) as server:
        wait_for(lambda: server.operation("/readyz") == (200, "ok"), "it to be ready")
        with configured(plane, name, OTHER):
            wait_for(lambda: "[!]ca-bundles" in server.operation("/readyz?verbose")[1], "the mismatch")
            assert server.operation("/readyz") == (200, "ok")
            account = Account(plane)
            account.lack()
            settings = {"VMGUARD_WEBHOOK_CONFIGURATION": name}
            with serving_cluster(tmp_path / "unreadable", account.kubeconfig, **settings) as other:
                wait_for(lambda: other.operation("/readyz") == (200, "ok"), "it to be ready")
                assert "vmguard_webhook_ca_bundle_ok{" not in other.operation("/metrics")[1]
