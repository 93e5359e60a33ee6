"""A directory with ca.crt, tls.crt and tls.key, as Kubernetes mounts a TLS secret. Nothing in it can sign."""

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

    Reading needs no lock and writes nothing, so a read-only mount will do.
    """

    path: Path

    def contents(self) -> Contents:
        """What stands there, read until two readings are alike.

        Then no file changed between the two, and they all stood there together at that moment: not the old
        certificate and the new key, though another process or the kubelet may be replacing them right now.
        """
        seen = self._read()
        while (again := self._read()) != seen:
            seen = again
        return seen

    def load(self) -> Bundle:
        return self.contents().bundle()

    def exposure(self) -> str:
        """Why the private key is known to more users than it should be, and what to do; "" where it is not.

        A mounted Secret has mode 0644 unless its volume says otherwise, and only its pod sees it.
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
        """Put the bundle there, unless something else than `replacing` stands there by now.

        Waits for another process that is saving; the kernel frees the lock of one that dies.

        Raises:
            CertificateError: the directory cannot be read or written. If there is no room for the new files, the old
                ones still stand.

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
            # A link to nothing is no missing file: someone meant something by it, which a save would destroy.
            if isinstance(error, FileNotFoundError) and not path.is_symlink():
                return Part(str(path), None)
            raise CertificateError(
                f"{path} cannot be read: {error}. Needed is a file, or a link to one, that this process may "
                "read. Correct its permissions or its place."
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The file stays: were it removed, the next process would lock a new one while another waits on the old.
        lock = os.open(self.path / _LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _replace(self, bundle: Bundle) -> None:
        """Exchange the three files such that a crash at any point leaves no key, and so nothing to serve.

        All are written before the first is touched: a full disk must not cost the certificate that still works.
        From the removal of the old key to the arrival of the new one there is none. Hence a key that does not
        match its certificate is never ours, and `ensure` can leave it alone.
        """
        # In this order, the key last: it is what completes the directory.
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
        """Have the directory itself on the disk, so that a power cut finds the same order of steps as a crash."""
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _write(path: Path, pem: bytes, mode: int) -> None:
    """Write a new file to the disk. It has its mode from the first moment, not from a chmod after it."""
    path.unlink(missing_ok=True)  # of a process that was killed; the lock says that nobody else writes it now
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(descriptor)
