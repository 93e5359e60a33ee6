"""Fixtures of the tests of certs: the time, directories, authorities of other owners, and a TLS handshake in memory."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from certs import DirectoryStore
from certs.names import subject_names
from tests.support.certificates import Handshake, Issue, Issuer

if TYPE_CHECKING:
    from pathlib import Path

    from certs import Leaf
    from certs.pem import PrivateKey

STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # what create_default_context sets from Python 3.13


@pytest.fixture
def now() -> datetime:
    """The true time, in whole seconds: TLS libraries look at their own clock."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """A store in an empty directory."""
    return DirectoryStore(tmp_path)


@pytest.fixture
def new_store(tmp_path: Path) -> DirectoryStore:
    """A store whose directory does not exist yet."""
    return DirectoryStore(tmp_path / "not" / "yet" / "there")


@pytest.fixture
def issue(now: datetime) -> Issue:
    def _issue(
        title: str,
        *,
        by: Issuer | None = None,
        key: PrivateKey | None = None,
        names: tuple[str, ...] = (),
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Issuer:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        signer = by.key if by else key
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by.certificate.subject if by else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start or now - timedelta(days=1))
            .not_valid_after(end or now + timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .add_extension(_key_usage(signs=not names), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(subject_names(names)), critical=False)
        algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return Issuer(builder.sign(signer, algorithm), key)

    return _issue


@pytest.fixture
def handshake(tmp_path: Path) -> Handshake:
    """A TLS connection to `name` between a strict client and a server with the leaf: the client's refusal, or ''."""

    def _handshake(leaf: Leaf, authority_pem: bytes, name: str) -> str:
        chain, key = tmp_path / "served.crt", tmp_path / "served.key"
        chain.write_bytes(leaf.chain_pem)
        key.write_bytes(leaf.key_pem)
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(chain, key)
        client_context = ssl.create_default_context(cadata=authority_pem.decode())
        client_context.verify_flags |= STRICT
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
        server = server_context.wrap_bio(to_server, to_client, server_side=True)
        waiting = [client, server]
        while waiting:
            for side in tuple(waiting):
                try:
                    side.do_handshake()
                    waiting.remove(side)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLCertVerificationError as error:
                    return error.verify_message
        return ""

    return _handshake


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
