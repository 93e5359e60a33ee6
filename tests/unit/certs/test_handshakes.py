"""What an authority issues, before the TLS libraries that have to accept it."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certs.pem import certificates_in
from tests.support.certificates import DAY, LONG_NAME, Handshake, new_authority
from tests.support.patience import PATIENCE
from tests.support.programs import program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "::1", LONG_NAME])
def test_a_strict_client_accepts_every_requested_name(name: str, now: datetime, handshake: Handshake):
    root = new_authority(now)
    leaf = root.issue(["localhost", "127.0.0.1", "::1", LONG_NAME], now=now, lifetime=DAY)
    assert handshake(leaf, root.certificate_pem, name) == ""


def test_a_strict_client_accepts_a_leaf_without_a_common_name(now: datetime, handshake: Handshake):
    root = new_authority(now)
    leaf = root.issue([LONG_NAME], now=now, lifetime=DAY)
    assert not certificates_in(leaf.chain_pem, "leaf")[0].subject.rdns
    assert handshake(leaf, root.certificate_pem, LONG_NAME) == ""


@pytest.mark.parametrize("name", ["example.org", "127.0.0.2", "a.localhost"])
def test_a_client_refuses_a_name_that_the_certificate_does_not_have(name: str, now: datetime, handshake: Handshake):
    root = new_authority(now)
    leaf = root.issue(["localhost", "127.0.0.1"], now=now, lifetime=DAY)
    assert "mismatch" in handshake(leaf, root.certificate_pem, name)


def test_a_client_refuses_a_leaf_past_its_lifetime(now: datetime, handshake: Handshake):
    root = new_authority(now - 10 * DAY)
    leaf = root.issue(["localhost"], now=now - 2 * DAY, lifetime=DAY)
    assert handshake(leaf, root.certificate_pem, "localhost") == "certificate has expired"


def test_a_client_whose_clock_is_minutes_behind_accepts_a_new_leaf(now: datetime, handshake: Handshake):
    ahead = now + timedelta(minutes=4)
    root = new_authority(ahead)
    assert handshake(root.issue(["localhost"], now=ahead, lifetime=DAY), root.certificate_pem, "localhost") == ""


def test_a_client_refuses_a_leaf_of_another_authority_of_the_same_name(now: datetime, handshake: Handshake):
    leaf = new_authority(now).issue(["localhost"], now=now, lifetime=DAY)
    assert handshake(leaf, new_authority(now).certificate_pem, "localhost") != ""


def test_a_client_that_trusts_two_authorities_of_one_name_accepts_leaves_of_both(now: datetime, handshake: Handshake):
    roots = [new_authority(now) for _ in range(2)]
    both = b"".join(root.certificate_pem for root in roots)
    for root in roots:
        assert handshake(root.issue(["localhost"], now=now, lifetime=DAY), both, "localhost") == ""


def test_openssl_verifies_the_chain_strictly_as_a_servers(now: datetime, tmp_path: Path):
    openssl = program("openssl")
    root = new_authority(now)
    ca, crt = tmp_path / "ca", tmp_path / "crt"
    ca.write_bytes(root.certificate_pem)
    crt.write_bytes(root.issue(["localhost", "::1"], now=now, lifetime=DAY).chain_pem)
    command = [openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(ca)]
    for extra, code in ((["-verify_ip", "::1"], 0), (["-verify_hostname", "localhost"], 0), (["-verify_ip", "::2"], 2)):
        done = subprocess.run([*command, *extra, str(crt)], capture_output=True, check=False, timeout=PATIENCE)
        assert done.returncode == code, done.stderr
