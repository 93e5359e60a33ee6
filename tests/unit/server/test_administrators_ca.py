"""A CA that an administrator renews: vmguard signs by it, never writes it, and reports its end in time."""

import asyncio
import io
import json
from datetime import timedelta

import pytest

from certs import Authority, Rotation, to_data
from tests.support.certificates import DAY, NOON
from webhook.cluster.collections import MUTATING_CONFIGURATIONS
from webhook.cluster.secret_data import SecretData
from webhook.cluster.webhook_entries import WebhookEntry
from webhook.server import own_certificate
from webhook.server.own_certificate import NOTICE, Installation, OwnCertificate
from webhook.server.webhook_trust import FoundConfiguration, WebhookTrust
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

CA = Authority.create("a CA", now=NOON, lifetime=365 * DAY, only="vmguard.mon.svc")
END = NOON + 365 * DAY


class AdministeredLeader:
    """A leader, the Secret that it finds, and what it writes."""

    def __init__(self, monkeypatch, *, annotation="administrator", writes=True):
        self.data = to_data(Rotation(CA))
        self.annotation = annotation
        self.secrets, self.bundles = [], []
        self.installed, self.answer = b"", ""
        self.stream = io.BytesIO()
        log, metrics = Log(stream=self.stream), Metrics()
        trust = WebhookTrust(None, "vmguard", "mon/vmguard", log, metrics)
        monkeypatch.setattr(trust, "read", self.configurations)
        monkeypatch.setattr(own_certificate, "read_secret", self.secret)
        monkeypatch.setattr(own_certificate, "write_secret", self.write_secret)
        monkeypatch.setattr(own_certificate, "write_bundle", self.write_bundle)
        installation = Installation("mon", "vmguard", writes)
        self.certificate = OwnCertificate(None, installation, trust, lambda: True, log, metrics, lambda: 0.0)

    async def secret(self, *_arguments):
        annotations = {} if self.annotation is None else {"vmguard.io/managed-by": self.annotation}
        return SecretData(self.data, {"metadata": {"annotations": annotations}})

    async def configurations(self):
        return (FoundConfiguration(MUTATING_CONFIGURATIONS, (WebhookEntry(0, "pods", "mon/vmguard", self.installed),)),)

    async def write_secret(self, _client, _namespace, _name, _read, data):
        self.secrets.append(data)

    async def write_bundle(self, _client, _kind, _name, _entries, bundle):
        self.bundles.append(bundle)
        return self.answer

    def read(self, now=NOON):
        return asyncio.run(self.certificate.read(None, now))


def test_without_the_annotation_the_leader_renews_the_ca(monkeypatch):
    """The double works: this leader does write."""
    leading = AdministeredLeader(monkeypatch, annotation=None)
    assert leading.read(NOON + 300 * DAY)
    assert leading.secrets
    assert leading.certificate.notice == ""


@pytest.mark.parametrize("annotation", ["administrator", "Vmguard", "", "anything"])
def test_a_secret_of_an_administrator_is_not_written_though_its_ca_is_due(monkeypatch, annotation):
    leading = AdministeredLeader(monkeypatch, annotation=annotation)
    assert leading.read(NOON + 300 * DAY)
    assert leading.secrets == []
    assert leading.bundles == [CA.certificate_pem]


@pytest.mark.parametrize(
    ("order", "writes"), [("ours, next", 0), ("next, ours", 0), ("next", 1), ("no PEM", 1), ("", 1)]
)
def test_what_an_administrator_has_added_to_the_bundle_stays(monkeypatch, order, writes):
    """As in a rotation by hand, where both CAs are trusted before the Secret has the next one."""
    following = Authority.create("a CA", now=NOON, lifetime=365 * DAY, only="vmguard.mon.svc")
    pem = {"ours": CA.certificate_pem, "next": following.certificate_pem, "no PEM": b"no PEM", "": b""}
    leading = AdministeredLeader(monkeypatch)
    leading.installed = b"".join(pem[each] for each in order.split(", "))
    assert leading.read()
    kept = following.certificate_pem if "next" in order else b""
    assert leading.bundles == [kept + CA.certificate_pem] * writes


def test_a_bundle_that_cannot_be_written_is_reported_at_the_second_time(monkeypatch):
    """The first time another process may have written meanwhile."""
    leading = AdministeredLeader(monkeypatch, annotation=None)
    leading.answer = "HTTP 422 a policy denies it"
    assert leading.read()
    assert leading.certificate.trouble == ""
    assert leading.read()
    assert "cannot be written: HTTP 422 a policy denies it" in leading.certificate.trouble
    leading.answer = ""
    assert leading.read()
    assert leading.certificate.trouble == ""


def test_a_ca_that_is_not_valid_by_the_clock_here_is_named_with_the_times(monkeypatch):
    """Not that the leader has written none: the Secret and the leader are well."""
    leading = AdministeredLeader(monkeypatch)
    assert leading.read(NOON - DAY) is None
    check = leading.certificate.check()
    assert check.startswith("the CA in the Secret mon/vmguard-ca is valid from ")
    assert "but the clock of this replica shows" in check


def test_with_watch_namespace_nothing_is_written_and_the_end_is_reported_too(monkeypatch):
    leading = AdministeredLeader(monkeypatch, annotation=None, writes=False)
    assert leading.read(END - NOTICE)
    assert (leading.secrets, leading.bundles) == ([], [])
    assert END.isoformat() in leading.certificate.notice


@pytest.mark.parametrize("damage", ["emptied", "tls.key", "next.crt"])
def test_a_damaged_secret_is_reported_and_neither_written_nor_installed(monkeypatch, damage):
    leading = AdministeredLeader(monkeypatch)
    leaf = leading.read()
    leading.bundles.clear()
    leading.data = {} if damage == "emptied" else {**leading.data, damage: b"no PEM"}
    assert leading.read() == leaf
    assert (leading.secrets, leading.bundles) == ([], [])
    assert leading.certificate.trouble.startswith("The Secret mon/vmguard-ca ")


@pytest.mark.parametrize(("left", "is_reported"), [(NOTICE + timedelta(seconds=1), False), (NOTICE, True), (DAY, True)])
def test_the_end_of_the_ca_is_reported_sixty_days_before(monkeypatch, left, is_reported):
    leading = AdministeredLeader(monkeypatch)
    assert leading.read(END - left)
    assert bool(leading.certificate.notice) == is_reported
    assert leading.certificate.trouble == ""


def test_the_log_first_has_what_was_wrong_and_then_what_the_leader_did(monkeypatch):
    leading = AdministeredLeader(monkeypatch)
    other = Authority.create("another CA", now=NOON, lifetime=DAY)
    for leading.installed in (CA.certificate_pem, other.certificate_pem, CA.certificate_pem):
        assert leading.read()
    messages = [json.loads(line)["message"] for line in leading.stream.getvalue().splitlines()]
    assert messages == ["CA bundle wrong", "CA bundle written", "CA bundle right again"]
