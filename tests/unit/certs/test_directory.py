"""A directory of certificates: what is read from it, and what a save leaves there, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certs import (
    AUTHORITY_FILE,
    CHAIN_FILE,
    KEY_FILE,
    Authority,
    Bundle,
    CertificateError,
    DirectoryStore,
)

if TYPE_CHECKING:
    from pathlib import Path


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FILES = (AUTHORITY_FILE, CHAIN_FILE, KEY_FILE)


def new_bundle() -> Bundle:
    root = Authority.create("test authority", now=NOON, lifetime=DAY)
    return Bundle(root.certificate_pem, root.issue(["localhost"], now=NOON, lifetime=DAY))


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}


def fill(directory: Path, *, ca: bytes, crt: bytes, key: bytes) -> DirectoryStore:
    directory.mkdir(exist_ok=True)
    for name, pem in zip(FILES, (ca, crt, key), strict=True):
        (directory / name).write_bytes(pem)
    return DirectoryStore(directory)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "not" / "yet" / "there")


def save(store: DirectoryStore, bundle: Bundle) -> None:
    assert store.save(bundle, replacing=store.contents())


def test_what_was_saved_is_loaded(store: DirectoryStore):
    first, second = new_bundle(), new_bundle()
    save(store, first)
    assert store.load() == first
    save(store, second)
    assert store.load() == second
    assert first != second


def test_three_files_stand_there_and_nothing_else_that_shows(store: DirectoryStore):
    bundle = new_bundle()
    save(store, bundle)
    assert files_of(store.path) == {
        "ca.crt": bundle.authority_pem,
        "tls.crt": bundle.leaf.chain_pem,
        "tls.key": bundle.leaf.key_pem,
    }


def test_the_directory_is_its_owners_and_so_is_the_key_from_its_first_moment(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
):
    born: dict[str, int] = {}
    really_open = os.open

    def watching_open(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = really_open(path, flags, mode)
        if flags & os.O_CREAT:
            born[path.name] = os.fstat(descriptor).st_mode & 0o777
        return descriptor

    monkeypatch.setattr(os, "open", watching_open)
    before = os.umask(0)
    try:
        save(store, new_bundle())
    finally:
        os.umask(before)
    assert born == {".lock": 0o600, ".ca.crt.new": 0o644, ".tls.crt.new": 0o644, ".tls.key.new": 0o600}
    assert (store.path / "tls.key").stat().st_mode & 0o777 == 0o600
    assert store.path.stat().st_mode & 0o777 == 0o700


def test_a_save_does_nothing_when_another_came_first(store: DirectoryStore):
    seen = store.contents()
    winner = new_bundle()
    save(store, winner)
    assert not store.save(new_bundle(), replacing=seen)
    assert store.load() == winner


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(store: DirectoryStore, name: str):
    save(store, new_bundle())
    (store.path / name).unlink()
    with pytest.raises(CertificateError, match=f"^Missing: {re.escape(str(store.path / name))}\\. Needed are"):
        store.load()


def test_a_missing_directory_is_three_missing_files_and_is_not_made_by_reading(store: DirectoryStore):
    with pytest.raises(CertificateError, match=r"ca\.crt, .*tls\.crt, .*tls\.key\. Needed are"):
        store.load()
    assert store.contents().empty
    assert not store.path.exists()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_holds_something_else_is_named(store: DirectoryStore, name: str):
    save(store, new_bundle())
    (store.path / name).write_text("nonsense")
    with pytest.raises(CertificateError, match=f"^{re.escape(str(store.path / name))} cannot be read as"):
        store.load()


def test_a_pair_that_is_none_is_not_loaded(store: DirectoryStore):
    bundle = new_bundle()
    save(store, bundle)
    (store.path / KEY_FILE).write_bytes(new_bundle().leaf.key_pem)
    with pytest.raises(CertificateError, match="is not the private key of the first certificate in"):
        store.load()


def test_a_file_that_may_not_be_read_is_named(store: DirectoryStore):
    save(store, new_bundle())
    (store.path / CHAIN_FILE).unlink()
    (store.path / CHAIN_FILE).mkdir()
    with pytest.raises(CertificateError, match=r"tls\.crt cannot be read: .*Is a directory.*Correct its permissions"):
        store.load()


def test_a_link_to_nothing_is_told_apart_from_a_missing_file(store: DirectoryStore):
    save(store, new_bundle())
    (store.path / KEY_FILE).unlink()
    (store.path / KEY_FILE).symlink_to("/nowhere/tls.key")
    with pytest.raises(CertificateError, match=r"tls\.key cannot be read: .*No such file"):
        store.load()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    store = DirectoryStore(tmp_path / "file" / "certs")
    seen = DirectoryStore(tmp_path / "elsewhere").contents()
    with pytest.raises(CertificateError, match=r"file/certs cannot be written: .*name another directory"):
        store.save(new_bundle(), replacing=seen)


def test_a_full_disk_costs_nothing_that_stood_there(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch):
    old = new_bundle()
    save(store, old)
    before = files_of(store.path)
    calls = iter(range(3))

    def full(_descriptor: int) -> None:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CertificateError, match="No space left on device"):
        save(store, new_bundle())
    assert files_of(store.path) == before
