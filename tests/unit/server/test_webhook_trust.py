"""Which entries of the configurations count, and what is reported of them."""

import asyncio
import io
import json

import pytest

from certs import Authority
from tests.support.certificates import DAY, NOON
from webhook.cluster.collections import MUTATING_CONFIGURATIONS
from webhook.cluster.webhook_entries import WebhookEntry
from webhook.server.webhook_trust import FoundConfiguration, WebhookTrust
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

CA, OTHER = (Authority.create("a CA", now=NOON, lifetime=DAY) for _ in range(2))
LEAF = CA.issue(["vmguard.mon.svc"], now=NOON, lifetime=DAY)
OURS = "mon/vmguard"


class JudgedTrust:
    """A trust with its log."""

    def __init__(self):
        self.stream = io.BytesIO()
        self.trust = WebhookTrust(None, "vmguard", OURS, Log(stream=self.stream), Metrics())

    def judge(self, *bundles, service=OURS):
        entries = tuple(WebhookEntry(index, "pods", service, bundle) for index, bundle in enumerate(bundles))
        self.trust.judge((FoundConfiguration(MUTATING_CONFIGURATIONS, entries),), LEAF)
        return self.trust.check()

    def messages(self):
        return [json.loads(line)["message"] for line in self.stream.getvalue().splitlines()]


@pytest.mark.parametrize("bundle", [b"", b"no PEM", OTHER.certificate_pem])
def test_before_it_was_trusted_once_a_wrong_bundle_is_why_it_is_not_ready(bundle):
    judged = JudgedTrust()
    assert judged.trust.check() == "not read yet"
    assert "the entry pods" in judged.judge(CA.certificate_pem, bundle)
    assert judged.messages() == []
    assert judged.judge(CA.certificate_pem, OTHER.certificate_pem + CA.certificate_pem) == ""


def test_later_it_is_reported_once_and_when_it_is_right_again():
    judged = JudgedTrust()
    assert judged.judge(CA.certificate_pem) == ""
    for _ in range(3):
        assert judged.judge(OTHER.certificate_pem) == ""
        assert "does not verify our certificate" in judged.trust.note
    assert judged.judge(CA.certificate_pem) == ""
    assert judged.messages() == ["CA bundle wrong", "CA bundle right again"]
    assert judged.trust.note == ""


def test_a_url_without_a_bundle_is_verified_by_public_authorities():
    assert JudgedTrust().judge(b"", service="") == ""


def test_what_cannot_be_read_does_not_count():
    judged = JudgedTrust()
    judged.trust.judge(None, LEAF)
    assert judged.trust.check() == ""
    assert "the entry pods" in judged.judge(b"")


def test_entries_of_other_services_do_not_count(monkeypatch):
    async def entries(*_arguments):
        return (WebhookEntry(0, "theirs", "mon/other", b""), WebhookEntry(1, "ours", OURS, CA.certificate_pem))

    monkeypatch.setattr("webhook.server.webhook_trust.read_entries", entries)
    trust = JudgedTrust().trust
    for found in asyncio.run(trust.read()):
        assert [entry.name for entry in found.entries] == ["ours"]
