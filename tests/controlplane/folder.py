"""Temporary folders of control planes, and the end of those whose process was killed before it could remove its own.

A folder is in use as long as the lock file in it is held, which ends with the process, however that ends.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "vmguard-plane-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder that is gone afterwards; its path is short, because sockets in it must have short paths."""
    _sweep()
    made = Path(tempfile.mkdtemp(prefix="vmguard-"))
    with (made / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = made.rename(made.with_name(made.name.replace("vmguard-", _PREFIX)))  # held before others look for it
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/lock"):
        try:
            with path.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)
        except OSError:  # in use, another user's, or just removed
            continue
