"""Certificates and keys are read from regular files only, which no other user of the machine can change."""

from __future__ import annotations

import io
import json
import os
import socket
from typing import TYPE_CHECKING

import pytest

from certs import CertificateError, DirectoryStore
from certs.regular_file import MOST_BYTES
from tests.support.certificates import FILES, new_bundle, save
from webhook.cli.listening import warn_of_exposure
from webhook.telemetry.log import Log

if TYPE_CHECKING:
    from pathlib import Path


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


OTHERS = {
    "a FIFO": os.mkfifo,
    "a directory": os.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket": _socket,
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", FILES)
def test_anything_else_is_an_error_that_says_what_it_is(store: DirectoryStore, name: str, kind: str):
    save(store, new_bundle())
    (store.path / name).unlink()
    OTHERS[kind](store.path / name)
    with pytest.raises(CertificateError, match=kind if kind != "a socket" else "cannot be read"):
        store.load()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_every_user_can_change_is_refused_with_the_command_that_helps(store: DirectoryStore, name: str):
    save(store, new_bundle())
    (store.path / name).chmod(0o666)
    with pytest.raises(CertificateError, match=rf"{name} has mode 0666: .* `chmod o-w \S+{name}`"):
        store.load()


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660])
def test_a_key_for_its_owner_and_group_is_nothing_to_warn_of(store: DirectoryStore, mode: int):
    """With fsGroup the kubelet gives the group of a pod its files; OpenShift runs containers in group 0."""
    save(store, bundle := new_bundle())
    (store.path / "tls.key").chmod(mode)
    assert (store.load(), store.exposure()) == (bundle, "")


def test_a_key_that_every_user_can_read_is_used_with_a_warning(store: DirectoryStore):
    save(store, bundle := new_bundle())
    (store.path / "tls.key").chmod(0o644)
    assert store.load() == bundle
    warn_of_exposure(store, Log("info", stream := io.BytesIO()))
    line = json.loads(stream.getvalue())
    assert line["message"] == "private key readable"
    assert "tls.key has mode 0644: every user of this machine can read the private key" in line["reason"]


def test_a_mounted_secret_of_the_default_mode_is_nothing_to_warn_of(tmp_path: Path):
    bundle, mount = new_bundle(), tmp_path / "mount"
    save(DirectoryStore(mount / "..2026_11_28"), bundle)
    (mount / "..data").symlink_to("..2026_11_28")
    for name in FILES:
        (mount / "..2026_11_28" / name).chmod(0o644)
        (mount / name).symlink_to(f"..data/{name}")
    store = DirectoryStore(mount)
    assert (store.load(), store.exposure()) == (bundle, "")


def test_a_file_without_an_end_is_refused(store: DirectoryStore):
    save(store, new_bundle())
    os.truncate(store.path / "ca.crt", MOST_BYTES + 1)
    with pytest.raises(CertificateError, match=f"more than {MOST_BYTES} bytes"):
        store.load()
