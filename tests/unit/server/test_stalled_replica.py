"""A replica that stands still in the middle of a reading does not count that time as seen."""

import asyncio

from certs import Authority, Rotation, to_data
from tests.support.certificates import DAY, NOON
from webhook.cluster.collections import MUTATING_CONFIGURATIONS
from webhook.cluster.secret_data import SecretData
from webhook.cluster.webhook_entries import WebhookEntry
from webhook.server import own_certificate
from webhook.server.own_certificate import Installation, OwnCertificate
from webhook.server.webhook_trust import FoundConfiguration, WebhookTrust
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

FIRST, SECOND = (Authority.create("a CA", now=NOON, lifetime=365 * DAY, only="vmguard.mon.svc") for _ in range(2))
CHANGED = Rotation(SECOND, None, (FIRST.certificate,), NOON + DAY)


class StalledReplica:
    """A replica that does not lead; its clock moves by `stall` between the configurations and the Secret."""

    def __init__(self, monkeypatch):
        self.time, self.stall = 0.0, 0.0
        self.state = Rotation(FIRST)
        log, metrics = Log("error"), Metrics()
        trust = WebhookTrust(None, "vmguard", "mon/vmguard", log, metrics)
        monkeypatch.setattr(trust, "read", self.configurations)
        monkeypatch.setattr(own_certificate, "read_secret", self.secret)
        installation = Installation("mon", "vmguard")
        self.certificate = OwnCertificate(None, installation, trust, lambda: False, log, metrics, lambda: self.time)

    async def configurations(self):
        entry = WebhookEntry(0, "pods", "mon/vmguard", self.state.bundle)
        return (FoundConfiguration(MUTATING_CONFIGURATIONS, (entry,)),)

    async def secret(self, *_arguments):
        self.time += self.stall
        return SecretData(to_data(self.state), {})

    def read(self, at):
        self.time = at
        return asyncio.run(self.certificate.read(None, NOON))


def test_a_leaf_changes_after_a_minute_of_readings_and_not_after_a_stall(monkeypatch):
    replica = StalledReplica(monkeypatch)
    leaf = replica.read(0)
    replica.state = CHANGED
    assert replica.read(10) == leaf
    replica.stall = 100
    assert replica.read(15) == leaf
    replica.stall = 0
    assert replica.read(69) == leaf
    assert replica.read(70) != leaf
