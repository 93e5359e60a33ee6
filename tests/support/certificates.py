"""Authorities, bundles and certificate directories for the tests of certs, made by vmguard and by other tools."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certs import AUTHORITY_FILE, CHAIN_FILE, KEY_FILE, Authority, Bundle, DirectoryStore

if TYPE_CHECKING:
    from cryptography import x509

    from certs import Leaf
    from certs.pem import PrivateKey

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ["localhost", "127.0.0.1", "::1"]
LONG_NAME = "a" * 40 + "." + "b" * 40 + ".svc"
"""A DNS name that is too long for a common name."""

FILES = (AUTHORITY_FILE, CHAIN_FILE, KEY_FILE)
REPOSITORY = Path(__file__).parents[2]
"""The folder from which a process can import certs."""


@dataclass(frozen=True)
class Issuer:
    """A certificate and its key, made as other tools make them: any kind of key, with or without an issuer above it."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Issue(Protocol):
    """The fixture `issue`: an authority of that title, or with `names` a leaf; signed by itself where `by` is None."""

    def __call__(
        self,
        title: str,
        *,
        by: Issuer | None = None,
        key: PrivateKey | None = None,
        names: tuple[str, ...] = (),
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Issuer: ...


class Handshake(Protocol):
    """The fixture `handshake`: why a strict client refuses the leaf under a name; "" where it accepts it."""

    def __call__(self, leaf: Leaf, authority_pem: bytes, name: str) -> str: ...


def new_authority(now: datetime = NOON, lifetime: timedelta = 365 * DAY) -> Authority:
    """An authority of vmguard's kind; each has the same name and another key."""
    return Authority.create("test authority", now=now, lifetime=lifetime)


def new_bundle() -> Bundle:
    """A bundle for localhost that is valid at NOON for one day."""
    root = new_authority(lifetime=DAY)
    return Bundle(root.certificate_pem, root.issue(["localhost"], now=NOON, lifetime=DAY))


def foreign_bundle(*, now: datetime = NOON, names: list[str] = NAMES) -> Bundle:
    """A bundle by an authority of another owner, valid for 90 days."""
    root = Authority.create("Example Corp CA", now=now, lifetime=90 * DAY)
    return Bundle(root.certificate_pem, root.issue(names, now=now, lifetime=90 * DAY))


def signed_by(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority with an EC key signed a certificate; all authorities of a rotation have the same name."""
    key, digest = authority.public_key(), leaf.signature_hash_algorithm
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert digest
    try:
        key.verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True


def save(store: DirectoryStore, bundle: Bundle) -> None:
    """Save a bundle in the place of what the store holds."""
    assert store.save(bundle, replacing=store.contents())


def fill(directory: Path, *, ca: bytes, crt: bytes, key: bytes) -> DirectoryStore:
    """Write the three files as another tool would, and return their store."""
    directory.mkdir(exist_ok=True)
    for name, pem in zip(FILES, (ca, crt, key), strict=True):
        (directory / name).write_bytes(pem)
    return DirectoryStore(directory)


def fill_with(directory: Path, bundle: Bundle) -> DirectoryStore:
    """Write the three files of a bundle as another tool would, and return their store."""
    return fill(directory, ca=bundle.authority_pem, crt=bundle.leaf.chain_pem, key=bundle.leaf.key_pem)


def files_in(directory: Path) -> dict[str, bytes]:
    """By name the content of every file in a directory except the lock."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}
