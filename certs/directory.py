"""A directory with ca.crt, tls.crt and tls.key, like a mounted TLS Secret of Kubernetes. No key there can sign."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certs.errors import CertificateError
from certs.regular_file import octal, read_regular
from certs.store import Bundle, Contents, Part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUTHORITY_FILE = "ca.crt"
CHAIN_FILE = "tls.crt"
KEY_FILE = "tls.key"

_LOCK_FILE = ".lock"

_MOUNTED = "..data"
"""The link to the current version of a Secret or ConfigMap, which the kubelet makes in the directory of a volume."""


@dataclass(frozen=True, slots=True)
class DirectoryStore:
    """The bundle in a directory, which need not exist before the first save.

    A read needs no lock and writes nothing, so a read-only mount suffices.
    """

    path: Path

    def contents(self) -> Contents:
        """The files, read until two reads give the same contents.

        Then no file changed between the two reads, and all files existed together at that time. So it never returns the
        old certificate with the new key, also while another process or the kubelet replaces them.
        """
        seen = self._read()
        while (again := self._read()) != seen:
            seen = again
        return seen

    def load(self) -> Bundle:
        return self.contents().bundle()

    def exposure(self) -> str:
        """Why too many users can read the private key, and what to do; "" if they cannot.

        A mounted Secret has mode 0644 unless its volume sets another one, and only its pod sees it.
        """
        key = self.path / KEY_FILE
        with suppress(OSError):
            mode = key.stat().st_mode
            if mode & stat.S_IROTH and not (self.path / _MOUNTED).is_symlink():
                return (
                    f"{key} has mode {octal(mode)}: every user of this machine can read the private key. "
                    f"Run `chmod o-r {key}`."
                )
        return ""

    def save(self, bundle: Bundle, *, replacing: Contents) -> bool:
        """Write the bundle, unless the contents are no longer `replacing`.

        It waits for another process that is saving. The kernel frees the lock of a process that dies.

        Raises:
            CertificateError: the directory cannot be read or written. If the disk is full, the old files remain.

        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                if self.contents() != replacing:
                    return False
                self._replace(bundle)
                return True
        except OSError as error:
            raise CertificateError(
                f"{self.path} cannot be written: {error}. Needed is a directory in which "
                "this process may create and rename files. Allow it that, or name another directory."
            ) from error

    def _read(self) -> Contents:
        return Contents(self._part(AUTHORITY_FILE), self._part(CHAIN_FILE), self._part(KEY_FILE))

    def _part(self, name: str) -> Part:
        path = self.path / name
        try:
            return Part(str(path), read_regular(path))
        except OSError as error:
            # A link to nothing is no missing file: someone made it for a purpose, which a save would destroy.
            if isinstance(error, FileNotFoundError) and not path.is_symlink():
                return Part(str(path), None)
            raise CertificateError(
                f"{path} cannot be read: {error}. Needed is a file, or a link to one, that this process may "
                "read. Correct its permissions or its place."
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The file stays: after a removal the next process would lock a new file while another waits on the old one.
        lock = os.open(self.path / _LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _replace(self, bundle: Bundle) -> None:
        """Replace the three files so that a crash at any point leaves no key, and so nothing to serve.

        It writes all new files before it changes the first old one, because a full disk must not remove a certificate
        that still works. Between the removal of the old key and the new one there is no key. So a key that does not
        match its certificate is never from this store, and `ensure` does not change it.
        """
        # In this order, the key last: it completes the directory.
        staged = {name: self.path / f".{name}.new" for name in (AUTHORITY_FILE, CHAIN_FILE, KEY_FILE)}
        try:
            _write(staged[AUTHORITY_FILE], bundle.authority_pem, 0o644)
            _write(staged[CHAIN_FILE], bundle.leaf.chain_pem, 0o644)
            _write(staged[KEY_FILE], bundle.leaf.key_pem, 0o600)
            (self.path / KEY_FILE).unlink(missing_ok=True)
            self._settle()
            for name, path in staged.items():
                path.replace(self.path / name)
                self._settle()
        finally:
            for path in staged.values():
                path.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Write the directory itself to the disk, so that the steps have the same order after a power cut."""
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _write(path: Path, pem: bytes, mode: int) -> None:
    """Write a new file to the disk. It has its mode from the beginning, not from a later chmod."""
    path.unlink(missing_ok=True)  # of a killed process; because of the lock no other process writes it now
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(descriptor)
