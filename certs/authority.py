"""A certificate authority of its own: one key that signs server certificates. It never writes to a disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.errors import CertificateError
from certs.leaf import Leaf
from certs.names import subject_names
from certs.pem import certificates_in, key_in

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKDATE = timedelta(hours=2)
"""How long before `now` a certificate begins: otherwise a client with a slow clock would find it not yet valid.

A clock that shows local time as UTC, or misses a change to summer time, is wrong by an hour.
"""

AUTHORITY_NAME = "vmguard webhook CA"
"""The common name of all authorities of a rotation; their key identifiers differ."""

_SEQUENCE, _PERMITTED, _EXCLUDED = 0x30, 0xA0, 0xA1
_EMAIL, _DNS_NAME, _URI, _IP_ADDRESS = 0x81, 0x82, 0x86, 0x87
"""DER tags: those of NameConstraints, and of the kinds of names in it."""

_LONGEST_COMMON_NAME = 64  # X.520, ub-common-name


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that clients trust, and the key that signs server certificates for them.

    Keys are EC P-256: made in a millisecond, and every client of the last ten years knows them.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    @classmethod
    def create(cls, common_name: str, *, now: datetime, lifetime: timedelta, only: str = "") -> Self:
        """A new authority with a new key, valid from two hours before `now` until `lifetime` after it.

        It signs only certificates of servers, and no other authority. With `only`, a DNS name, clients accept only
        certificates for that name: every IP address, e-mail address and URI is excluded.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        start, end = _period(now, lifetime)
        name = authority_name(common_name)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            _certificate(key.public_key(), start, end)
            .subject_name(name)
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )
        if only:
            builder = builder.add_extension(_constraints(only), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes, certificate_from: str, key_from: str) -> Self:
        """An authority from its two texts; errors name their sources, `certificate_from` and `key_from`.

        Raises:
            CertificateError: a text cannot be read, there is not exactly one certificate, it is not an authority's, or
                the key is not its key. The error does not repeat the texts.

        """
        certificates = certificates_in(certificate_pem, certificate_from)
        key = key_in(key_pem, key_from)
        if len(certificates) != 1 or not _signs_others(certificates[0]):
            raise CertificateError(f"{certificate_from} must be the certificate of one authority and nothing else.")
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificates[0].public_key():
            raise CertificateError(f"{key_from} is not the EC key of the certificate in {certificate_from}.")
        return cls(certificates[0], key)

    @property
    def renew_at(self) -> datetime:
        """When another authority should replace it: after two thirds of its lifetime."""
        return renewal(self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc)

    def may_sign_for(self, name: str) -> bool:
        """Whether its constraints allow certificates for a DNS name."""
        try:
            permitted = self.certificate.extensions.get_extension_for_class(
                x509.NameConstraints
            ).value.permitted_subtrees
        except x509.ExtensionNotFound:
            return True
        domains = [each.value for each in permitted or () if isinstance(each, x509.DNSName)]
        return not domains or any(name == each or name.endswith(f".{each}") for each in domains)

    def valid_at(self, now: datetime) -> bool:
        """Whether clients accept it at a given time."""
        return self.certificate.not_valid_before_utc <= now <= self.certificate.not_valid_after_utc

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The signing key, PKCS#8, not encrypted: its owner can pass for any server to clients of this authority."""
        return _key_pem(self.key)

    def issue(self, names: Sequence[str], *, now: datetime, lifetime: timedelta) -> Leaf:
        """A certificate for a server with these names, DNS names and IP addresses mixed, and its new key.

        It is valid from two hours before `now` until `lifetime` after it, and never longer than this authority: after
        that no client would accept it.

        Raises:
            CertificateError: a name is not valid, there are no names, or this authority is not valid at `now`.

        """
        alternatives = subject_names(names)
        start, end = _period(now, lifetime)
        opens, closes = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        if not opens <= now <= closes:
            raise CertificateError(
                f"The authority {self.certificate.subject.rfc4514_string()!r} is valid from {opens.isoformat()} to "
                f"{closes.isoformat()}, and it is {now.isoformat()}. Make a new authority, or set the clock right."
            )
        key = ec.generate_private_key(ec.SECP256R1())
        # Only people and their tools read a common name, so the first name suffices.
        title = str(alternatives[0].value)
        subject = _name(title) if len(title) <= _LONGEST_COMMON_NAME else x509.Name([])
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            _certificate(key.public_key(), max(start, opens), min(end, closes))
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            # RFC 5280, 4.2.1.6: with an empty subject only these names identify it, so they are critical.
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=not subject.rdns)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Leaf(certificate.public_bytes(Encoding.PEM), _key_pem(key))


def renewal(not_before: datetime, not_after: datetime) -> datetime:
    """When a certificate with this validity should be renewed: after two thirds of its lifetime since creation."""
    made = not_before + BACKDATE
    return made + (not_after - made) * 2 / 3


def authority_name(common_name: str) -> x509.Name:
    """The subject of an authority with this name, and the issuer in the certificates that it signs."""
    if not 0 < len(common_name) <= _LONGEST_COMMON_NAME:
        raise CertificateError(
            f"{common_name!r} can be no name of an authority: allowed are 1 to {_LONGEST_COMMON_NAME} characters."
        )
    return _name(common_name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _constraints(only: str) -> x509.UnrecognizedExtension:
    """NameConstraints (RFC 5280, 4.2.1.10): permit one DNS name and exclude every other kind of name.

    A constraint that has only DNS names permits addresses. The empty name means every e-mail address and every URI. It
    is encoded here, because the cryptography package makes no empty e-mail address. Go refuses ".".
    """
    (name,) = subject_names([only])
    if not isinstance(name, x509.DNSName):
        raise CertificateError(f"{only!r} is an IP address. An authority for one server needs its DNS name.")
    permitted = _subtree(_DNS_NAME, name.value.encode())
    excluded = b"".join(
        (_subtree(_IP_ADDRESS, bytes(8)), _subtree(_IP_ADDRESS, bytes(32)), _subtree(_EMAIL, b""), _subtree(_URI, b""))
    )
    return x509.UnrecognizedExtension(
        x509.NameConstraints.oid, _der(_SEQUENCE, _der(_PERMITTED, permitted) + _der(_EXCLUDED, excluded))
    )


def _subtree(kind: int, name: bytes) -> bytes:
    return _der(_SEQUENCE, _der(kind, name))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2)
    return bytes([tag]) + length + content


def _signs_others(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False


def _period(now: datetime, lifetime: timedelta) -> tuple[datetime, datetime]:
    if now.tzinfo is None:
        raise CertificateError(f"The time {now.isoformat()} has no time zone. Give it one, such as datetime.UTC.")
    if lifetime < timedelta(seconds=1):
        raise CertificateError(f"A certificate cannot live for {lifetime}. Allowed is one second or longer.")
    moment = now.astimezone(UTC).replace(microsecond=0)  # certificates have whole seconds
    return moment - BACKDATE, moment + lifetime


def _certificate(key: ec.EllipticCurvePublicKey, start: datetime, end: datetime) -> x509.CertificateBuilder:
    """The parts of every certificate: its key, the key identifier, its validity and a random serial number."""
    return (
        x509.CertificateBuilder()
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
