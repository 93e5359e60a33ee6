"""A directory that another program filled: every kind of key and chain, and the links of a mounted Secret."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from certs import Bundle, CertificateError, DirectoryStore
from certs.regular_file import read_regular
from tests.support.certificates import FILES, Issue, fill, fill_with, new_bundle

if TYPE_CHECKING:
    from certs.pem import PrivateKey


def key_texts() -> list[tuple[str, PrivateKey, PrivateFormat]]:
    rsa_key = rsa.generate_private_key(65537, 2048)
    p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    return [
        ("RSA PKCS1", rsa_key, PrivateFormat.TraditionalOpenSSL),
        ("RSA PKCS8", rsa_key, PrivateFormat.PKCS8),
        ("EC SEC1", p256, PrivateFormat.TraditionalOpenSSL),
        ("EC PKCS8", p384, PrivateFormat.PKCS8),
        ("Ed25519 PKCS8", ed25519.Ed25519PrivateKey.generate(), PrivateFormat.PKCS8),
    ]


def test_keys_of_every_kind_and_form_are_loaded(tmp_path: Path, issue: Issue, now: datetime):
    for kind, key, form in key_texts():
        root = issue("somebody's root", key=key)
        between = issue("intermediate", by=root)
        end = issue("leaf", by=between, key=key, names=("vmguard.ns.svc",))
        key_pem = key.private_bytes(Encoding.PEM, form, NoEncryption())
        bundle = fill(tmp_path / kind, ca=root.pem, crt=end.pem + between.pem, key=key_pem).load()
        assert bundle.why_unusable(now=now, names=["vmguard.ns.svc"]) is None, kind
        assert bundle.leaf.names == ("vmguard.ns.svc",)


def test_text_around_certificates_and_keys_is_passed_over(tmp_path: Path, issue: Issue, now: datetime):
    root = issue("root", names=("localhost",))
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    text = b"subject=CN = root\r\n" + root.pem.replace(b"\n", b"\r\n")
    bundle = fill(tmp_path / "d", ca=text, crt=text, key=parameters + root.key_pem).load()
    assert bundle.why_unusable(now=now, names=["localhost"]) is None


def test_an_encrypted_key_is_refused_with_the_way_out(tmp_path: Path):
    bundle = new_bundle()
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    store = fill(tmp_path, ca=bundle.authority_pem, crt=bundle.leaf.chain_pem, key=pem)
    with pytest.raises(CertificateError, match=r"tls\.key is an encrypted private key.*`openssl pkey`"):
        store.load()


def test_a_key_that_cannot_sign_is_refused(tmp_path: Path):
    bundle = new_bundle()
    pem = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    store = fill(tmp_path, ca=bundle.authority_pem, crt=bundle.leaf.chain_pem, key=pem)
    with pytest.raises(CertificateError, match="Allowed are RSA, EC and Ed25519 keys"):
        store.load()


def mount(directory: Path, version: str, bundle: Bundle) -> None:
    """Lay a version of a secret out as the kubelet does, without showing it yet."""
    fill_with(directory / version, bundle)
    (directory / "..data_tmp").symlink_to(version)


def show(directory: Path) -> None:
    (directory / "..data_tmp").replace(directory / "..data")


def test_a_mounted_secret_is_loaded_through_its_links(tmp_path: Path):
    bundle = new_bundle()
    mount(tmp_path, "..2030_01_01", bundle)
    show(tmp_path)
    for name in FILES:
        (tmp_path / name).symlink_to(f"..data/{name}")
    assert DirectoryStore(tmp_path).load() == bundle
    assert not (tmp_path / ".lock").exists()


def test_a_secret_that_changes_while_it_is_read_is_read_as_one_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old, new = new_bundle(), new_bundle()
    mount(tmp_path, "..old", old)
    show(tmp_path)
    for name in FILES:
        (tmp_path / name).symlink_to(f"..data/{name}")
    mount(tmp_path, "..new", new)
    reads: list[str] = []

    def read(path: Path) -> bytes:
        reads.append(path.name)
        if len(reads) == 3:  # after certificate and authority, before the key
            show(tmp_path)
        return read_regular(path)

    monkeypatch.setattr("certs.directory.read_regular", read)
    assert DirectoryStore(tmp_path).load() == new
    assert reads[:3] == list(FILES)
