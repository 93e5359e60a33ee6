"""Which entries of the configurations count, and what is reported of them."""

import asyncio
import io
import json

import pytest

from certs import Authority
from tests.support.certificates import DAY, NOON
from webhook.cluster.collections import MUTATING_CONFIGURATIONS
from webhook.cluster.webhook_entries import WebhookEntry
from webhook.server.webhook_trust import AT_START, FoundConfiguration, WebhookTrust
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

CA, OTHER = (Authority.create("a CA", now=NOON, lifetime=DAY) for _ in range(2))
LEAF = CA.issue(["vmguard.mon.svc"], now=NOON, lifetime=DAY)
OURS = "mon/vmguard"


class JudgedTrust:
    """A trust with its log."""

    def __init__(self, compare=lambda _entries: {}):
        self.stream = io.BytesIO()
        self.metrics = Metrics()
        self.trust = WebhookTrust(None, "vmguard", OURS, Log(stream=self.stream), self.metrics, compare)

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


def test_a_bundle_that_stays_wrong_at_the_start_is_reported_after_a_minute(monkeypatch):
    """The leader has to write it first."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    judged = JudgedTrust()
    assert judged.judge(b"")
    now += AT_START - 1
    assert judged.judge(b"")
    assert judged.messages() == []
    now += 1
    assert judged.judge(b"")
    assert judged.judge(CA.certificate_pem) == ""
    assert judged.messages() == ["CA bundle wrong", "CA bundle right again"]


def test_without_a_certificate_the_metric_is_absent():
    """1 would say that the API server trusts what there is not."""
    metrics = Metrics()
    trust = WebhookTrust(None, "vmguard", OURS, Log("error"), metrics)
    entries = (WebhookEntry(0, "pods", OURS, CA.certificate_pem),)
    for leaf, value in ((None, None), (LEAF, 1.0), (None, None)):
        trust.judge((FoundConfiguration(MUTATING_CONFIGURATIONS, entries),), leaf)
        labels = {"configuration": "MutatingWebhookConfiguration"}
        assert metrics.registry.get_sample_value("vmguard_webhook_ca_bundle_ok", labels) == value


def test_later_it_is_reported_once_and_when_it_is_right_again():
    judged = JudgedTrust()
    assert judged.judge(CA.certificate_pem) == ""
    for _ in range(3):
        assert judged.judge(OTHER.certificate_pem) == ""
        assert "does not verify our certificate" in judged.trust.note
    assert judged.judge(CA.certificate_pem) == ""
    assert judged.messages() == ["CA bundle wrong", "CA bundle right again"]
    assert judged.trust.note == ""


@pytest.mark.parametrize("found", [None, (FoundConfiguration(MUTATING_CONFIGURATIONS, None),)])
def test_a_wrong_bundle_is_not_right_again_while_its_configuration_is_missing_or_cannot_be_read(found):
    judged = JudgedTrust()
    judged.judge(CA.certificate_pem)
    judged.judge(OTHER.certificate_pem)
    judged.trust.judge(found, LEAF)
    assert judged.messages() == ["CA bundle wrong"]


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


def test_a_configuration_that_is_missing_is_named_and_does_not_make_it_unready():
    judged = JudgedTrust()
    judged.trust.judge((FoundConfiguration(MUTATING_CONFIGURATIONS, None),), LEAF)
    assert judged.trust.check() == ""
    assert judged.trust.absent.startswith("there is no MutatingWebhookConfiguration vmguard: ")
    judged.trust.judge(None, LEAF)
    assert judged.trust.absent, "what cannot be read is not known to be there"
    judged.judge(CA.certificate_pem)
    assert judged.trust.absent == ""


def test_weaker_entries_are_reported_once_each_and_do_not_make_it_unready():
    weaker, compared = [], []

    def compare(entries):
        compared.append(entries)
        return {"MutatingWebhookConfiguration": {"pods": tuple(weaker)}}

    judged = JudgedTrust(compare)
    for weaker[:] in ([], ["ONE"], ["ONE"], ["ONE", "TWO"], ["TWO"], []):
        assert judged.judge(CA.certificate_pem) == ""
        assert judged.trust.check() == ""
        begins = "; ".join(weaker)
        assert judged.trust.weaker == (
            f"{begins}. If this is not on purpose, apply the manifests with --force-conflicts" if weaker else ""
        )
    lines = [json.loads(line) for line in judged.stream.getvalue().splitlines()]
    assert [(line["message"], line.get("reason")) for line in lines] == [
        ("webhook entry weaker", "ONE"),
        ("webhook entry weaker", "TWO"),
        ("webhook entries as in the manifests", None),
    ]
    assert [entry.name for entry in compared[0]["MutatingWebhookConfiguration"]] == ["pods"]


def test_weaker_entries_stay_reported_while_the_configurations_cannot_be_read():
    judged = JudgedTrust(lambda _entries: {"MutatingWebhookConfiguration": {"pods": ("ONE",)}})
    judged.judge(CA.certificate_pem)
    judged.trust.judge(None, LEAF)
    assert judged.trust.weaker.startswith("ONE. ")


def test_the_metric_counts_weaker_entries_and_is_absent_where_nothing_was_compared():
    """An entry with two differences counts once; 0 would say that an unreadable configuration is as it should be."""
    current = {}
    judged = JudgedTrust(lambda _entries: current)

    def value(kind="MutatingWebhookConfiguration"):
        return judged.metrics.registry.get_sample_value("vmguard_weaker_entries", {"configuration": kind})

    def counted(**entries):
        current.clear()
        current.update(entries)
        judged.judge(CA.certificate_pem)
        return value(), value("ValidatingWebhookConfiguration")

    assert value() is None
    weak = {"pods": ("ONE", "TWO"), "missing": ("THREE",)}
    assert counted(MutatingWebhookConfiguration=weak) == (2, None)
    assert counted(MutatingWebhookConfiguration={}, ValidatingWebhookConfiguration={"pods": ("ONE",)}) == (0, 1)
    assert counted(ValidatingWebhookConfiguration={}) == (None, 0)
    judged.trust.judge(None, LEAF)
    assert value("ValidatingWebhookConfiguration") is None
