"""A directory of certificates: what is read from it, and what a save leaves there, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import pytest

from certs import CHAIN_FILE, KEY_FILE, CertificateError, DirectoryStore
from tests.support.certificates import FILES, files_in, new_bundle, save

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_saved_is_loaded(new_store: DirectoryStore):
    first, second = new_bundle(), new_bundle()
    save(new_store, first)
    assert new_store.load() == first
    save(new_store, second)
    assert new_store.load() == second
    assert first != second


def test_three_files_stand_there_and_nothing_else_that_shows(new_store: DirectoryStore):
    bundle = new_bundle()
    save(new_store, bundle)
    assert files_in(new_store.path) == {
        "ca.crt": bundle.authority_pem,
        "tls.crt": bundle.leaf.chain_pem,
        "tls.key": bundle.leaf.key_pem,
    }


def test_the_directory_is_its_owners_and_so_is_the_key_from_its_first_moment(
    new_store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
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
        save(new_store, new_bundle())
    finally:
        os.umask(before)
    assert born == {".lock": 0o600, ".ca.crt.new": 0o644, ".tls.crt.new": 0o644, ".tls.key.new": 0o600}
    assert (new_store.path / "tls.key").stat().st_mode & 0o777 == 0o600
    assert new_store.path.stat().st_mode & 0o777 == 0o700


def test_a_save_does_nothing_when_another_came_first(new_store: DirectoryStore):
    seen = new_store.contents()
    winner = new_bundle()
    save(new_store, winner)
    assert not new_store.save(new_bundle(), replacing=seen)
    assert new_store.load() == winner


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(new_store: DirectoryStore, name: str):
    save(new_store, new_bundle())
    (new_store.path / name).unlink()
    with pytest.raises(CertificateError, match=f"^Missing: {re.escape(str(new_store.path / name))}\\. Needed are"):
        new_store.load()


def test_a_missing_directory_is_three_missing_files_and_is_not_made_by_reading(new_store: DirectoryStore):
    with pytest.raises(CertificateError, match=r"ca\.crt, .*tls\.crt, .*tls\.key\. Needed are"):
        new_store.load()
    assert new_store.contents().empty
    assert not new_store.path.exists()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_holds_something_else_is_named(new_store: DirectoryStore, name: str):
    save(new_store, new_bundle())
    (new_store.path / name).write_text("nonsense")
    with pytest.raises(CertificateError, match=f"^{re.escape(str(new_store.path / name))} cannot be read as"):
        new_store.load()


def test_a_pair_that_is_none_is_not_loaded(new_store: DirectoryStore):
    bundle = new_bundle()
    save(new_store, bundle)
    (new_store.path / KEY_FILE).write_bytes(new_bundle().leaf.key_pem)
    with pytest.raises(CertificateError, match="is not the private key of the first certificate in"):
        new_store.load()


def test_a_file_that_may_not_be_read_is_named(new_store: DirectoryStore):
    save(new_store, new_bundle())
    (new_store.path / CHAIN_FILE).unlink()
    (new_store.path / CHAIN_FILE).mkdir()
    with pytest.raises(CertificateError, match=r"tls\.crt cannot be read: .*Is a directory.*Correct its permissions"):
        new_store.load()


def test_the_error_of_a_link_to_nothing_differs_from_that_of_a_missing_file(new_store: DirectoryStore):
    save(new_store, new_bundle())
    (new_store.path / KEY_FILE).unlink()
    (new_store.path / KEY_FILE).symlink_to("/nowhere/tls.key")
    with pytest.raises(CertificateError, match=r"tls\.key cannot be read: .*No such file"):
        new_store.load()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    store = DirectoryStore(tmp_path / "file" / "certs")
    seen = DirectoryStore(tmp_path / "elsewhere").contents()
    with pytest.raises(CertificateError, match=r"file/certs cannot be written: .*name another directory"):
        store.save(new_bundle(), replacing=seen)


def test_a_full_disk_costs_nothing_that_stood_there(new_store: DirectoryStore, monkeypatch: pytest.MonkeyPatch):
    old = new_bundle()
    save(new_store, old)
    before = files_in(new_store.path)
    calls = iter(range(3))

    def full(_descriptor: int) -> None:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CertificateError, match="No space left on device"):
        save(new_store, new_bundle())
    assert files_in(new_store.path) == before
