"""Go programs of the bench, built once into the user's cache by their sources and the Go that builds them."""

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmguard" / "bench"


def binary(name: str) -> Path:
    """The program of `bench/NAME`, built when its sources or Go changed.

    Raises:
        FileNotFoundError: there is no Go here.
        subprocess.CalledProcessError: it does not build; Go has said why.

    """
    sources = sorted(path for path in (ROOT / name).iterdir() if path.suffix in {".go", ".mod", ".sum"})
    digest = hashlib.sha256(subprocess.check_output(["go", "version"]))  # noqa: S607 - whichever Go the user has
    for source in sources:
        digest.update(source.name.encode() + source.read_bytes())
    target = CACHE / digest.hexdigest()[:16] / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process builds, the others wait and find the program
        if not target.exists():
            print(f"building {name}", flush=True)
            unfinished = target.with_suffix(".unfinished")
            command = ["go", "build", "-trimpath", "-buildvcs=false", "-o", str(unfinished), "."]
            subprocess.run(command, cwd=ROOT / name, check=True)
            unfinished.rename(target)
    return target
