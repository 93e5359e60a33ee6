"""A base for the image where no registry can be reached: Debian with Python, made by mmdebstrap from Debian's packages.

It replaces the official Python image, and has the same properties that the Dockerfile needs. The command is `python`,
the files of `ensurepip` and pip are below /usr/local, and the standard library has no byte-code. It is made once on a
machine, into the user's cache folder. The package sources are those of mmdebstrap and of this machine's apt.
"""

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from tests.support.programs import missing, program

SUITE = "trixie"
"""The release of Debian with the Python version of the image."""

PACKAGES = ("ca-certificates", "python3", "python3-venv")

_LIKE_OFFICIAL = """
set -e
cd "$1"
version=$(basename usr/lib/python3.*)
ln -s python3 usr/bin/python
rm -rf "usr/local/lib/$version"
ln -s "/usr/lib/$version" "usr/local/lib/$version"
mkdir -p "usr/lib/$version/ensurepip/_bundled"
mv usr/share/python-wheels/*.whl "usr/lib/$version/ensurepip/_bundled/"
rmdir usr/share/python-wheels
ln -s "/usr/lib/$version/ensurepip/_bundled" usr/share/python-wheels
find usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +
"""
"""Run with the folder of the new system. Debian's `ensurepip` takes the wheels from /usr/share/python-wheels."""


def debian_base() -> Path:
    """The archive of the files of the base, made now if it never was.

    The test ends here if this machine has no mmdebstrap, or no package source.
    """
    command = [program("mmdebstrap"), "--quiet", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}"]
    command.append(f"--customize-hook={_LIKE_OFFICIAL}")
    version = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True).stdout.strip()
    key = hashlib.sha256("\n".join((version, SUITE, os.uname().machine, *command[1:])).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmguard" / "image"
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / f"debian-{SUITE}-{key}.tar"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process makes it, the others wait and find it
        if not made.exists():
            unfinished = made.with_suffix(".unfinished")
            done = subprocess.run([*command, SUITE, unfinished], capture_output=True, text=True, check=False)
            if done.returncode:
                unfinished.unlink(missing_ok=True)
                missing(f"mmdebstrap cannot make Debian {SUITE} here: {' '.join(done.stderr.split())[-400:]}")
            unfinished.rename(made)
    return made
