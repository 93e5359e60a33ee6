"""The serving certificate without cert-manager: each replica signs its own leaf with the CA in a Secret.

Each replica reads the Secret and the webhook configurations every few seconds. The leader also writes: the CA into the
Secret, and its bundle into the configurations. Every write carries the version that was read, so two leaders do no
harm. It reads the configurations before the Secret, so it never overwrites a newer bundle with an older one.

vmguard may not create the Secret. Without the Secret, it serves on with the CA in memory.

An administrator may own the CA: with WATCH_NAMESPACE, or with an annotation on the Secret. Then vmguard never writes
the Secret, and warns in time before the CA expires.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
from cryptography import x509

from certs import (
    AUTHORITY_LIFETIME,
    AUTHORITY_NAME,
    Authority,
    CertificateError,
    Installed,
    Issued,
    Leaf,
    Rotation,
    authority_name,
    from_data,
    heal,
    next_leaf,
    step,
    to_data,
)
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.secret_data import SecretChangedError, SecretData, read_secret, write_secret
from webhook.cluster.webhook_entries import WebhookEntry, write_bundle
from webhook.server.webhook_trust import FoundConfiguration, WebhookTrust, certificates_of, trusted_by
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

EVERY = 5.0
"""Seconds between two readings, also of the wall clock: a leaf can expire while a machine is suspended."""

MANAGED_BY = "vmguard.io/managed-by"
"""The annotation of the Secret that names who makes and renews the CA."""

ADMINISTRATOR, VMGUARD = "administrator", "vmguard"

NOTICE = timedelta(days=60)
"""How long before its end vmguard reports a CA that it does not renew."""

_SOON = 1.0
"""Seconds between two readings until the API server trusts the leaf."""


class Installation(msgspec.Struct, frozen=True):
    """The names of one vmguard's objects. `writes` is whether its leader may write to the cluster's objects."""

    namespace: str
    service: str
    writes: bool = True

    @property
    def server_name(self) -> str:
        """The one name in the certificate, which the API server expects."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def secret(self) -> str:
        return f"{self.service}-ca"


def is_of_administrator(secret: SecretData) -> bool:
    """Whether vmguard does not make and renew the CA; an unknown value counts as an administrator, too."""
    return secret.annotations.get(MANAGED_BY, VMGUARD) != VMGUARD


class OwnCertificate:
    """The leaf of this replica, and the leader's work on the CA. `leads` is whether this replica is leader now."""

    what = "leaf"
    first: Leaf | None = None

    def __init__(
        self,
        client: Client,
        installation: Installation,
        trust: WebhookTrust,
        leads: Callable[[], bool],
        log: Log,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._installation = installation
        self._trust = trust
        self._leads = leads
        self._log = log
        self._metrics = metrics
        self._monotonic = monotonic
        self._read_at = 0.0
        self._rotation = Rotation()
        self._installed = Installed()
        self._found_at = 0.0
        self._refused: dict[str, tuple[WebhookEntry, ...]] = {}
        self._seen: tuple[dict[str, bytes], float] = ({}, 0.0)
        self._issued: Issued | None = None
        self._is_newest = False
        self._renews = installation.writes
        self.trouble = ""
        self.notice = ""

    @property
    def place(self) -> str:
        """The Secret, for people."""
        return f"Secret {self._installation.namespace}/{self._installation.secret}"

    @property
    def pause(self) -> float:
        """Seconds until the next reading."""
        return _SOON if self._issued is None or self._trust.check() else EVERY

    async def read(self, shown: Leaf | None, now: datetime) -> Leaf | None:  # noqa: ARG002 - the source's shape
        """Do the due work in the Secret and in the configurations; return the leaf to show.

        Raises:
            CertificateError: a new leaf is due and cannot be signed.

        """
        self._read_at = self._monotonic()  # durations count from the end of one reading to the start of another
        found = await self._trust.read()
        self._found_at = self._monotonic()
        try:
            trouble = await self._look_at_secret(found, now)
        except UnreachableError as error:
            trouble = str(error)
        name, at = self._installation.server_name, self._read_at
        self._issued = next_leaf(self._issued, self._rotation, self._installed, name=name, now=now, at=at)
        leaf = self._issued.leaf if self._issued else None
        self._trust.judge(found, leaf)  # before the write: the log first says what was found, then what was done
        if self._is_newest and self._may_write and self._rotation.current:
            trouble = " ".join(filter(None, (trouble, *[await self._write(each) for each in found or ()])))
        if self._rotation.current:
            self._metrics.ca_expiry.set(self._rotation.current.certificate.not_valid_after_utc.timestamp())
        self.notice = self._of_end(now)
        self.trouble = trouble or (self._trust.unreadable if self._installation.writes else "")
        if self._issued and (fault := self._issued.leaf.untimely(now=now)):
            raise CertificateError(f"{fault}. A new one cannot be signed: {self.trouble or 'the CA is not valid now'}")
        return leaf

    def check(self) -> str:
        """Why there is no certificate yet, "" if there is one."""
        if self._issued:
            return ""
        if self.trouble or not self._rotation.current:
            return self.trouble or f"the leader has not written a CA into the {self.place} yet"
        certificate = self._rotation.current.certificate
        start, end = certificate.not_valid_before_utc.isoformat(), certificate.not_valid_after_utc.isoformat()
        return (
            f"the CA in the {self.place} is valid from {start} to {end}, but the clock of this replica shows "
            f"{datetime.now(UTC).isoformat(timespec='seconds')}"
        )

    def _of_end(self, now: datetime) -> str:
        """What an administrator must do before the CA expires, "" if vmguard renews it or there is time."""
        if self._renews or not self._rotation.current:
            return ""
        end = self._rotation.current.certificate.not_valid_after_utc
        if now < end - NOTICE:
            return ""
        return (
            f"The CA in the {self.place} ends at {end.isoformat()}, and vmguard does not renew it. Rotate it by hand "
            "before that, as docs/certificates.md says."
        )

    @property
    def _may_write(self) -> bool:
        return self._installation.writes and self._leads()

    async def _look_at_secret(self, found: tuple[FoundConfiguration, ...] | None, now: datetime) -> str:
        """Read the state in the Secret, and as leader write the next one; return what is wrong, "" for nothing."""
        self._is_newest = False
        secret = await read_secret(self._client, self._installation.namespace, self._installation.secret)
        if secret is None:
            self._observe(found, self._rotation)
            self._is_newest = True
            self._metrics.certificate_renewals.labels("ca", "error").inc()
            return (
                f"The {self.place} does not exist, and vmguard may not create it. Run `kubectl create secret generic "
                f"{self._installation.secret} --namespace {self._installation.namespace}`. Until then vmguard uses "
                "the CA that it has in memory, if any."
            )
        state, faults = from_data(secret.data, self._installation.server_name)
        self._renews = self._installation.writes and not is_of_administrator(secret)
        if self._may_write and self._renews:
            return await self._bring_on(secret, state, faults, found, now)
        if state.current:
            self._rotation = state
        self._observe(found, self._rotation)
        if self._renews:
            return ""
        self._is_newest = state.current is not None and not faults
        return self._of_administrator(state, faults)

    def _of_administrator(self, state: Rotation, faults: tuple[str, ...]) -> str:
        """What an administrator must correct in the Secret, "" for nothing."""
        damage = f"The {self.place} is damaged: {' '.join(faults)}" if faults else ""
        if state.current:
            return damage
        why = f"the Secret has the annotation {MANAGED_BY}" if self._installation.writes else "WATCH_NAMESPACE is set"
        until = " Until then vmguard uses the CA that it has in memory." if self._rotation.current else ""
        missing = (
            f"The {self.place} has no CA. vmguard makes none, because {why}. Make one with `vmguard certs init "
            f"--namespace {self._installation.namespace} --service {self._installation.service}`.{until}"
        )
        return f"{damage} {missing}".strip()

    async def _bring_on(
        self,
        secret: SecretData,
        found_state: Rotation,
        faults: tuple[str, ...],
        found: tuple[FoundConfiguration, ...] | None,
        now: datetime,
    ) -> str:
        """Write the next state, if there is one to write."""
        trusted = [each for bundle in trusted_by(found or ()) for each in bundle if _is_ours(each)]
        healed = heal(found_state, self._rotation, trusted, now=now, damaged=bool(faults))
        self._observe(found, healed)
        at = self._read_at
        if secret.data != self._seen[0]:
            self._seen = (secret.data, self._monotonic())
        state = step(
            healed,
            now=now,
            installed=self._installed.lasting(healed.trusted, at=self._read_at),
            unchanged=timedelta(seconds=at - self._seen[1]),
            create=partial(self._created, now),
        )
        data = to_data(state)
        if data != secret.data:
            if faults:
                self._log.write("error", "CA secret damaged", secret=self.place, reason=" ".join(faults))
            try:
                await write_secret(self._client, self._installation.namespace, self._installation.secret, secret, data)
            except SecretChangedError:
                return ""  # the next reading sees what another process wrote
            except UnreachableError:
                self._metrics.certificate_renewals.labels("ca", "error").inc()
                raise
            self._report(found_state, state)
        self._rotation, self._is_newest = state, True
        return ""

    def _created(self, now: datetime) -> Authority:
        name = self._installation.server_name
        return Authority.create(AUTHORITY_NAME, now=now, lifetime=AUTHORITY_LIFETIME, only=name)

    def _report(self, before: Rotation, after: Rotation) -> None:
        """Log and count what a write of the state changed."""
        authorities = {before.current, before.next}
        for each in (after.current, after.next):
            if each and each not in authorities:
                self._metrics.certificate_renewals.labels("ca", "success").inc()
        phase = "next CA trusted" if after.next else "old CA trusted" if after.old else "one CA"
        end = after.current.certificate.not_valid_after_utc.isoformat() if after.current else ""
        self._log.write("info", "CA secret written", secret=self.place, phase=phase, not_after=end)

    def _observe(self, found: tuple[FoundConfiguration, ...] | None, state: Rotation) -> None:
        if found is None:
            self._installed.forget()
            return
        signer = (self._issued.signer,) if self._issued else ()
        self._installed.observe(trusted_by(found), {*state.trusted, *signer}, at=self._found_at)

    async def _write(self, found: FoundConfiguration) -> str:
        """Write the bundle into one configuration if needed; return what is wrong, "" for nothing."""
        entries = tuple(each for each in found.entries or () if self._wanted(each) != each.bundle)
        configuration = f"{found.kind.kind} {self._trust.name}"
        before = self._refused.pop(configuration, None)
        answer = ""
        try:
            for bundle in dict.fromkeys(map(self._wanted, entries)):
                concerned = tuple(each for each in entries if self._wanted(each) == bundle)
                answer = answer or await write_bundle(self._client, found.kind, self._trust.name, concerned, bundle)
        except UnreachableError as error:
            return str(error)
        if answer:
            self._refused[configuration] = entries
            # the first time it means that another process wrote meanwhile
            return f"The CA bundle of {configuration} cannot be written: {answer}" if entries == before else ""
        if entries:
            self._log.write("info", "CA bundle written", configuration=configuration)
        return ""

    def _wanted(self, entry: WebhookEntry) -> bytes:
        """The bundle of an entry. With an administrator's CA, vmguard only adds what is missing."""
        bundle, current = self._rotation.bundle, self._rotation.current
        if self._renews or current is None:
            return bundle
        there = certificates_of(entry.bundle)
        return entry.bundle if current.certificate in there else (entry.bundle if there else b"") + bundle


def _is_ours(certificate: x509.Certificate) -> bool:
    return certificate.subject == authority_name(AUTHORITY_NAME)
