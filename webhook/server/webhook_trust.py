"""Whether the API server trusts vmguard's certificate: the CA bundles in the webhook configurations, and their faults.

A missing configuration does not count, because installers apply it after the Deployment is healthy. An unreadable one
does not count, either. After every configuration was right, vmguard reports a wrong one and stays ready. Otherwise
removed bundles would stop all replicas for longer than the repair takes.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import chain

import msgspec
from cryptography import x509

from certs import CertificateError, FaultKind, Leaf, certificates_in
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import Collection
from webhook.cluster.webhook_entries import CONFIGURATIONS, WebhookEntry, read_entries
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

AT_START = 60.0
"""Seconds at the start without a log line about a wrong configuration: the leader has to write the bundle first."""

EVERY = 10.0
"""Seconds between two readings if nothing else reads the configurations."""


class FoundConfiguration(msgspec.Struct, frozen=True):
    """One configuration at the time of a read: the entries that call vmguard. `entries` is None if it is missing."""

    kind: Collection
    entries: tuple[WebhookEntry, ...] | None


_APPLY = "If this is not on purpose, apply the manifests with --force-conflicts"

CompareEntries = Callable[[Mapping[str, tuple[WebhookEntry, ...]]], Mapping[str, Mapping[str, tuple[str, ...]]]]
"""From the entries of each configuration, by its kind, to what they leave out that those of the manifests have.

The result has the kind of each compared configuration, and in it sentences by the name of each weaker entry.
"""


class WebhookTrust:
    """The configurations of one name. `service` is vmguard's `NAMESPACE/NAME`; other Services do not count.

    `compare` gives what the entries leave out. vmguard only reports it.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        service: str,
        log: Log,
        metrics: Metrics,
        compare: CompareEntries = lambda _entries: {},
    ) -> None:
        self._client = client
        self._compare = compare
        self._weaker: tuple[str, ...] = ()
        self.name = name
        self._service = service
        self._log = log
        self._metrics = metrics
        self._judged = False
        self._wrong_since = 0.0
        self._once = False
        self._wrong: dict[str, str] = {}
        self._missing: tuple[str, ...] = ()
        self._reported: set[str] = set()
        self.unreadable = ""

    async def read(self) -> tuple[FoundConfiguration, ...] | None:
        """Both configurations, None if one cannot be read."""
        try:
            found = [(kind, await read_entries(self._client, kind, self.name)) for kind in CONFIGURATIONS]
        except UnreachableError as error:
            self.unreadable = str(error)
            return None
        self.unreadable = ""
        return tuple(
            FoundConfiguration(kind, None if entries is None else tuple(filter(self._calls_us, entries)))
            for kind, entries in found
        )

    def judge(self, found: tuple[FoundConfiguration, ...] | None, leaf: Leaf | None) -> None:
        """Compare a leaf with the configurations; report what is wrong."""
        self._judged = True
        self._metrics.webhook_ca_bundle_ok.clear()
        self._metrics.weaker_entries.clear()
        wrong: dict[str, str] = {}
        for each in found or ():
            if each.entries is not None:
                why = "; ".join(filter(None, (_untrusted(entry, leaf) for entry in each.entries)))
                if leaf is not None:
                    self._metrics.webhook_ca_bundle_ok.labels(each.kind.kind).set(0 if why else 1)
                if why:
                    wrong[f"{each.kind.kind} {self.name}"] = why
        if found is not None:
            self._missing = tuple(each.kind.kind for each in found if each.entries is None)
            compared = self._compare({each.kind.kind: each.entries for each in found if each.entries})
            for kind, entries in compared.items():
                self._metrics.weaker_entries.labels(kind).set(len(entries))
            by_entry = chain.from_iterable(entries.values() for entries in compared.values())
            self._report_weaker(tuple(chain.from_iterable(by_entry)))
        if found is not None and leaf is not None and not wrong:
            self._once = True
        now = time.monotonic()
        if not wrong or not self._wrong:
            self._wrong_since = now
        self._wrong = wrong
        if found is not None:
            gone = {f"{kind} {self.name}" for kind in self._missing}
            self._report(wrong if self._once or now - self._wrong_since >= AT_START else {}, gone)

    def _report(self, wrong: Mapping[str, str], gone: set[str]) -> None:
        """Log what became wrong since the last reading, and what is right again; `gone` configurations are neither."""
        for name in wrong.keys() - self._reported:
            self._log.write("error", "CA bundle wrong", configuration=name, reason=wrong[name])
        for name in self._reported - wrong.keys() - gone:
            self._log.write("info", "CA bundle right again", configuration=name)
        self._reported = set(wrong)

    def _report_weaker(self, weaker: tuple[str, ...]) -> None:
        """Log what the entries leave out since the last reading."""
        for why in weaker:
            if why not in self._weaker:
                self._log.write("warning", "webhook entry weaker", configuration=self.name, reason=why)
        if self._weaker and not weaker:
            self._log.write("info", "webhook entries as in the manifests", configuration=self.name)
        self._weaker = weaker

    async def run(self, leaf: Callable[[], Leaf | None]) -> None:
        """Read and judge until this is cancelled."""
        while True:
            self.judge(await self.read(), leaf())
            await asyncio.sleep(1.0 if self.check() else EVERY)

    def check(self) -> str:
        """Why the API server does not trust vmguard yet; "" after it did once."""
        if not self._judged:
            return "not read yet"
        return "" if self._once else self.note

    @property
    def note(self) -> str:
        """What is wrong with the configurations now, "" for nothing."""
        return "; ".join(f"{name}: {why}" for name, why in self._wrong.items())

    @property
    def absent(self) -> str:
        """Which configuration there is not, "" for none."""
        if not self._missing:
            return ""
        names = " and no ".join(f"{kind} {self.name}" for kind in self._missing)
        return f"there is no {names}: the API server does not call vmguard. Apply the manifests"

    @property
    def weaker(self) -> str:
        """What the entries leave out that those of the manifests have, "" for nothing."""
        return f"{'; '.join(self._weaker)}. {_APPLY}" if self._weaker else ""

    def _calls_us(self, entry: WebhookEntry) -> bool:
        return entry.service in {"", self._service}


def trusted_by(found: tuple[FoundConfiguration, ...]) -> list[tuple[x509.Certificate, ...]]:
    """The certificates in each bundle of the configurations; none of an unreadable bundle."""
    return [certificates_of(entry.bundle) for each in found for entry in each.entries or ()]


@lru_cache(maxsize=16)
def certificates_of(bundle: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a bundle, none if it is unreadable."""
    try:
        return certificates_in(bundle, "the bundle") if bundle else ()
    except CertificateError:
        return ()


def _untrusted(entry: WebhookEntry, leaf: Leaf | None) -> str:
    """Why a client with the bundle of this entry would refuse a leaf, "" if it would not."""
    if leaf is None or (not entry.bundle and not entry.service):  # without a bundle a URL is verified by public CAs
        return ""
    if not entry.bundle:
        return f"the entry {entry.name} has no caBundle"
    try:
        fault = leaf.why_unusable(now=leaf.not_before, names=(), authority_pem=entry.bundle)
    except CertificateError:
        return f"the caBundle of the entry {entry.name} cannot be read"
    is_unknown = fault is not None and fault.kind == FaultKind.NOT_SIGNED
    return f"the caBundle of the entry {entry.name} does not verify our certificate" if is_unknown else ""
