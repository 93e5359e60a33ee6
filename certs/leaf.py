"""The certificate that a server shows, with its key. It never verifies for a client; it finds mistakes of its owner."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from certs.faults import CertificateFault, FaultKind
from certs.names import missing_names, names_in
from certs.pem import PrivateKey, certificates_in, key_in, paths, unreadable_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server's certificate, followed by the certificates between it and its authority, and its key.

    Errors name the sources of the two texts, `chain_from` and `key_from`, such as a file.

    Raises:
        CertificateError: one of the texts cannot be read. It does not check that the two belong together.

    """

    chain_pem: bytes
    key_pem: bytes = field(repr=False)
    chain_from: InitVar[str] = "The certificate chain"
    key_from: InitVar[str] = "The private key"
    names: tuple[str, ...] = field(init=False, compare=False)
    """Its DNS names in lower case, then its IP addresses. A name that is only in the subject does not count."""
    _chain: tuple[x509.Certificate, ...] = field(init=False, repr=False, compare=False)
    _key: PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self, chain_from: str, key_from: str) -> None:
        chain = certificates_in(self.chain_pem, chain_from)
        try:
            names = names_in(chain[0])
            chain[0].public_key()
        except (
            ValueError,
            UnsupportedAlgorithm,
            x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType,
        ) as error:
            raise unreadable_certificate(chain_from) from error
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "_chain", chain)
        object.__setattr__(self, "_key", key_in(self.key_pem, key_from))

    @property
    def not_before(self) -> datetime:
        """The first moment it is valid, UTC."""
        return self._chain[0].not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """The last moment it is valid, UTC. The certificates that sign it may end earlier."""
        return self._chain[0].not_valid_after_utc

    @property
    def key_matches(self) -> bool:
        """Whether the key belongs to the certificate."""
        return self._key.public_key() == self._chain[0].public_key()

    def untimely(self, *, now: datetime) -> CertificateFault | None:
        """Why the certificate itself is not valid at a given time; None if it is."""
        return _untimely(self._chain[:1], now)

    def why_unusable(self, *, now: datetime, names: Iterable[str], authority_pem: bytes) -> CertificateFault | None:
        """Why clients that trust this authority would refuse it under one of these names; None if they would not.

        The order of the faults is key, signature, time, names: each one makes the later ones pointless.
        `authority_pem` may have several certificates; one suffices. `now` has a time zone.

        Raises:
            CertificateError: the authority cannot be read, or a name is not valid.

        """
        if not self.key_matches:
            return CertificateFault(
                FaultKind.KEY_MISMATCH, "the private key is not the one the certificate was made for"
            )
        first, *between = dict.fromkeys(self._chain)
        anchors = certificates_in(authority_pem, "The authority's certificate")
        ways = tuple(paths(first, tuple(between), anchors))
        if not ways:
            issuer = first.issuer.rfc4514_string()
            return CertificateFault(
                FaultKind.NOT_SIGNED, f"the certificate was issued by {issuer!r}, not by this authority"
            )
        untimely = [_untimely(way, now) for way in ways]
        if None not in untimely:  # one way that is valid now is enough
            return untimely[0]
        if missing := missing_names(names, self.names):
            return CertificateFault(
                FaultKind.NAME_MISSING,
                f"the certificate lacks the names {', '.join(missing)}; it has {', '.join(self.names) or 'none'}",
            )
        return None


def _untimely(way: tuple[x509.Certificate, ...], now: datetime) -> CertificateFault | None:
    for certificate in way:
        whose = f"the certificate of {certificate.subject.rfc4514_string()!r}"
        if now < certificate.not_valid_before_utc:
            start = certificate.not_valid_before_utc.isoformat()
            return CertificateFault(
                FaultKind.NOT_YET_VALID, f"{whose} is not valid before {start}, and it is {now.isoformat()}"
            )
        if now > certificate.not_valid_after_utc:
            end = certificate.not_valid_after_utc.isoformat()
            return CertificateFault(FaultKind.EXPIRED, f"{whose} expired at {end}, and it is {now.isoformat()}")
    return None
