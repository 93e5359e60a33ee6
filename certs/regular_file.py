"""Reads a regular file: no FIFO that blocks, nothing without an end, nothing that every user can change."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from certs.errors import CertificateError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1024 * 1024
"""Most bytes of one file; a chain of certificates has some KiB, and the API server takes no Secret over 1 MiB."""

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a directory",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file, or of one that a link leads to. Opening it never blocks.

    Raises:
        CertificateError: it is something else, too large, or every user of the machine can change it.
        OSError: it cannot be opened or read.

    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "no file")
            raise CertificateError(f"{path} is {kind}. Needed is a regular file, or a link to one. Put it there.")
        if mode & stat.S_IWOTH:
            raise CertificateError(
                f"{path} has mode {octal(mode)}: every user of this machine can change it. Run `chmod o-w {path}`, "
                "and have new certificates made if somebody may have changed it."
            )
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise CertificateError(f"{path} has more than {MOST_BYTES} bytes. Needed is PEM text. Correct it.")
    return content


def octal(mode: int) -> str:
    """The permissions of a mode as `chmod` takes them, such as 0644."""
    return f"{stat.S_IMODE(mode):04o}"
