"""Certificates and keys from PEM text. Unreadable text becomes an error that names its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterator

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def certificates_in(pem: bytes, where: str) -> tuple[x509.Certificate, ...]:
    """Every certificate of the text, in its order."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except (ValueError, x509.InvalidVersion) as error:
        raise unreadable_certificate(where) from error


def unreadable_certificate(where: str) -> CertificateError:
    return CertificateError(
        f"{where} cannot be read as certificates. Allowed are X.509 certificates in PEM form, each between "
        "-----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----. It was left as it is: correct it, or move it away."
    )


def key_in(pem: bytes, where: str) -> PrivateKey:
    """The private key of the text: PKCS#8, PKCS#1 (RSA) or SEC 1 (EC), not encrypted."""
    # "from None": a parser's message about an unreadable key must not reach a log.
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise CertificateError(
            f"{where} is an encrypted private key, and there is no way to give its password. Allowed are keys that "
            "are not encrypted. It was left as it is: decrypt it with `openssl pkey`."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(
            f"{where} cannot be read as a private key. Allowed are RSA, EC and Ed25519 keys in PEM form (PKCS#8, "
            "PKCS#1 or SEC 1), not encrypted. It was left as it is: correct it, or move it away."
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise CertificateError(
            f"{where} is a private key of a kind that TLS clients do not accept. Allowed are RSA, EC and Ed25519 "
            "keys. It was left as it is: have a certificate made for a key of one of these."
        )
    return key


def paths(
    certificate: x509.Certificate, between: tuple[x509.Certificate, ...], anchors: tuple[x509.Certificate, ...]
) -> Iterator[tuple[x509.Certificate, ...]]:
    """The paths from a certificate over intermediate ones to an anchor, by name and signature only.

    The client decides about trust: this function does not check whether an issuer may sign for others.
    """
    if certificate in anchors:
        yield (certificate,)
    for anchor in anchors:
        if _signed(certificate, anchor):
            yield certificate, anchor
    for issuer in between:
        if _signed(certificate, issuer):
            rest = tuple(other for other in between if other != issuer)
            yield from ((certificate, *path) for path in paths(issuer, rest, anchors))


def _signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
