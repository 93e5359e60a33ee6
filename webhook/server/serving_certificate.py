"""The certificate that the webhook listener shows, read anew while serving.

cert-manager, the kubelet or a person replaces the files of VMGUARD_CERT_DIR at any time. They are read every 10
seconds: file events alone miss some replacements. A new pair that is whole and valid is shown from the next connection
on; open connections stay as they are. Until then the last good pair is shown.
"""

import asyncio
import os
import ssl
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from certs import CertificateError, Contents, DirectoryStore, Leaf
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

EVERY = 10.0
"""Seconds between two readings of the files."""

_AGAIN = 360
"""Readings between two log lines about the same trouble: an hour."""

_SOON = 0.1
"""The part of a certificate's life that is left when it counts as near its end; others renew it earlier."""


class ServingCertificate:
    """The pair of a directory. `trouble` is why the files there are not what is shown, "" when they are."""

    def __init__(
        self,
        store: DirectoryStore,
        log: Log,
        metrics: Metrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read the directory.

        Raises:
            CertificateError: there is no pair that can be shown. An expired one can be.

        """
        self._store = store
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._reported = ""
        self._readings = 0
        self.trouble = ""
        self._contents = store.contents()
        self._leaf = self._contents.leaf()
        self.context = _context(self._leaf)
        metrics.certificate_expiry.set(self._leaf.not_after.timestamp())

    @property
    def note(self) -> str:
        """What a person must know of the certificate, "" for nothing."""
        return " ".join(filter(None, (self._end(), self.trouble)))

    def _end(self) -> str:
        """What is wrong with the end of the certificate that is shown, "" for nothing."""
        leaf, now = self._leaf, self._clock()
        end = leaf.not_after.isoformat()
        if now > leaf.not_after:
            return (
                f"The certificate expired at {end}: the API server refuses it, and no pod of the operator is created."
            )
        if leaf.not_after - now < (leaf.not_after - leaf.not_before) * _SOON:
            return f"The certificate expires at {end}: after that no pod of the operator is created. Renew it."
        return ""

    async def run(self) -> None:
        """Read the files again and again, until this task is cancelled."""
        self._report()
        while True:
            await asyncio.sleep(EVERY)
            await self.look()

    async def look(self) -> None:
        """Read the files once, and show their pair from now on if it is another one and can be shown."""
        try:
            contents = await asyncio.to_thread(self._store.contents)
            if contents != self._contents:
                self._show(contents)
        except CertificateError as error:
            self._keep(str(error))
        except Exception as error:  # noqa: BLE001 - nothing may end the readings: a renewal would not be seen
            self._keep(f"the files cannot be read: {error!r}")
        else:
            self.trouble = ""
        self._report()

    def _show(self, contents: Contents) -> None:
        leaf = contents.leaf()
        now = self._clock()
        both_expired = now > leaf.not_after >= self._leaf.not_after
        if not both_expired and (fault := leaf.untimely(now=now)):
            raise CertificateError(f"{contents.chain.where}: {fault}. Put a certificate there that is valid now.")
        self.context = _context(leaf)
        pair_is_new = (leaf.chain_pem, leaf.key_pem) != (self._leaf.chain_pem, self._leaf.key_pem)
        self._contents, self._leaf = contents, leaf
        if pair_is_new:
            self._metrics.certificate_expiry.set(leaf.not_after.timestamp())
            self._metrics.certificate_renewals.labels("files", "success").inc()
            end = leaf.not_after.isoformat()
            self._log.write("info", "certificate renewed", file=contents.chain.where, not_after=end)

    def _keep(self, trouble: str) -> None:
        """Count a reading of files that are not shown."""
        self._metrics.certificate_renewals.labels("files", "error").inc()
        self.trouble = trouble

    def _report(self) -> None:
        """Log what is wrong at once, and once an hour while it stays the same."""
        note = self.note
        self._readings = self._readings + 1 if note == self._reported else 0
        if note and self._readings % _AGAIN == 0:
            level = "error" if self.trouble or self._clock() > self._leaf.not_after else "warning"
            end = self._leaf.not_after.isoformat()
            self._log.write(level, "certificate needs attention", reason=note, served_until=end)
        elif self._reported and not note:
            self._log.write("info", "certificate is good again", served_until=self._leaf.not_after.isoformat())
        self._reported = note


def _context(leaf: Leaf) -> ssl.SSLContext:
    """A TLS context that shows a pair.

    Raises:
        CertificateError: OpenSSL does not take it.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # a client knows which cipher its processor has
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
