"""The certificate of the webhook listener. It can change while vmguard serves.

It comes from one of two sources: the files of VMGUARD_CERT_DIR, or a leaf of vmguard's own authority. The next
connection gets a new pair, and open connections stay. Without a new good pair, vmguard shows the last good one.
"""

import asyncio
import os
import ssl
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from certs import CertificateError, Leaf
from webhook.server.client_certificates import ClientCertificates
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

_AGAIN = 3600.0
"""Seconds between two log lines about the same trouble."""

_SOON = 0.1
"""The remaining part of a certificate's life from which it counts as near its end; its owners renew it earlier."""


class CertificateSource(Protocol):
    """The source of the pair. `what` names the source in metrics, `place` in the log.

    `first` is the first pair, None if there is none yet. `pause` is the time in seconds until the next reading.
    `trouble` is a problem beside a good pair, "" for none. `notice` is what a person must do in time, "" for nothing.
    """

    @property
    def what(self) -> str: ...

    @property
    def place(self) -> str: ...

    @property
    def first(self) -> Leaf | None: ...

    @property
    def pause(self) -> float: ...

    @property
    def trouble(self) -> str: ...

    @property
    def notice(self) -> str: ...

    async def read(self, shown: Leaf | None, now: datetime) -> Leaf | None:
        """The pair to show from now on, `shown` itself if there is no other one.

        Raises:
            CertificateError: there should be another one, and it is not usable.

        """


class ServingCertificate:
    """The current pair. `trouble` is why a newer pair cannot be used, "" for no trouble.

    Without a pair each TLS handshake fails. With `clients`, the handshake of a client that they refuse also fails.
    """

    def __init__(
        self,
        source: CertificateSource,
        log: Log,
        metrics: Metrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        clients: ClientCertificates | None = None,
    ) -> None:
        """Show the first pair of the source.

        Raises:
            CertificateError: OpenSSL does not take it.

        """
        self._source = source
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self.clients = clients
        self._reported = ""
        self._waited = 0.0
        self._there = asyncio.Event()
        self.trouble = ""
        self.leaf: Leaf | None = None
        self.context = _settings()
        if source.first:
            self._show(source.first)

    @property
    def note(self) -> str:
        """What a person must know about the certificate, "" for nothing."""
        return " ".join(filter(None, (self._end(), self.trouble, self._source.notice)))

    def _end(self) -> str:
        """What is wrong with the end of the current certificate, "" for nothing."""
        leaf, now = self.leaf, self._clock()
        if leaf is None:
            return ""
        end = leaf.not_after.isoformat()
        if now > leaf.not_after:
            return (
                f"The certificate expired at {end}: the API server refuses it. With failurePolicy Fail it creates no "
                "VictoriaMetrics pod, with Ignore it creates them without vmguard. Renew the certificate."
            )
        if leaf.not_after - now < (leaf.not_after - leaf.not_before) * _SOON:
            return f"The certificate expires at {end}: after that the API server refuses it. Renew the certificate."
        return ""

    async def there(self) -> None:
        """Wait until there is a pair."""
        await self._there.wait()

    async def run(self) -> None:
        """Read the source repeatedly, until this task is cancelled."""
        self._report()
        while True:
            await asyncio.sleep(self._source.pause)
            await self.look()

    async def look(self) -> None:
        """Read the source once, and show its pair from now on if it is new and usable."""
        troubles = (await self._read_pair(), await self._read_clients())
        self.trouble = " ".join(filter(None, troubles))
        self._report()

    async def _read_clients(self) -> str:
        """Require certificates of other CAs from now on, if they changed; return what is wrong, "" for nothing."""
        if self.clients is None:
            return ""
        try:
            if await asyncio.to_thread(self.clients.look) and self.leaf:
                self.context = _context(self.leaf, self.clients)
        except CertificateError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - nothing may end the readings: a renewal would not be seen
            return f"VMGUARD_CLIENT_CA_FILE cannot be read: {error!r}"
        return ""

    async def _read_pair(self) -> str:
        """What is wrong with the pair of the source, "" for nothing."""
        try:
            leaf = await self._source.read(self.leaf, self._clock())
            if leaf is not None and leaf != self.leaf:
                self._show(leaf)
                self._metrics.certificate_renewals.labels(self._source.what, "success").inc()
                end = leaf.not_after.isoformat()
                self._log.write("info", "certificate renewed", source=self._source.place, not_after=end)
        except CertificateError as error:
            trouble = str(error)
        except Exception as error:  # noqa: BLE001 - nothing may end the readings: a renewal would not be seen
            trouble = f"{self._source.place} cannot be read: {error!r}"
        else:
            return self._source.trouble
        self._metrics.certificate_renewals.labels(self._source.what, "error").inc()
        return trouble

    def _show(self, leaf: Leaf) -> None:
        self.context = _context(leaf, self.clients)
        self.leaf = leaf
        self._metrics.certificate_expiry.set(leaf.not_after.timestamp())
        self._there.set()

    def _report(self) -> None:
        """Log what is wrong at once, and once an hour while it stays the same."""
        note, end = self.note, self.leaf.not_after if self.leaf else None
        until = end.isoformat() if end else ""
        is_new = note != self._reported
        self._waited = 0.0 if is_new else self._waited + self._source.pause
        if note and (is_new or self._waited >= _AGAIN):
            self._waited = 0.0
            level = "error" if self.trouble or (end and self._clock() > end) else "warning"
            self._log.write(level, "certificate needs attention", reason=note, served_until=until)
        elif self._reported and not note:
            self._log.write("info", "certificate is good again", served_until=until)
        self._reported = note


def _settings() -> ssl.SSLContext:
    """A TLS context without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # a client knows the best cipher for its processor
    return context


def _context(leaf: Leaf, clients: ClientCertificates | None) -> ssl.SSLContext:
    """A TLS context that shows a pair, and requires a certificate of the client if there are `clients`.

    Raises:
        CertificateError: OpenSSL refuses it.

    """
    context = _settings()
    if clients:
        clients.ask(context)
    try:
        _load(context, leaf.key_pem + b"\n" + leaf.chain_pem)
    except (ssl.SSLError, OSError) as error:
        raise CertificateError(
            f"the certificate and its key cannot be served: {error}. Use a key of RSA with 2048 bits or more, or of "
            "ECDSA with P-256, P-384 or P-521."
        ) from error
    return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Load a key and its chain from memory; OpenSSL's Python interface takes files only."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate")
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(pem)
            path = Path(f"/proc/self/fd/{descriptor}")
            if path.exists():
                context.load_cert_chain(path)
                return
    with tempfile.NamedTemporaryFile() as file:  # macOS, and a Linux without /proc
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
