"""The servers that are measured side by side: each starts on one core and is watched through /proc; the caller ends it.

Each prints its URL when it is ready; its standard error, with a line for each decision, goes to a file.
"""

import os
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bench.built import binary
from certs import DirectoryStore, ensure
from tests.support.server import ROOT, environment, free_port

SERVER_CORE, LOAD_CORE = 0, max(os.cpu_count() or 1, 1) - 1
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ground:
    """What all contestants share: a folder, one certificate for `localhost`, and one file of objects."""

    folder: Path

    @property
    def certificates(self) -> Path:
        return self.folder / "certs"

    @property
    def objects(self) -> Path:
        return self.folder / "objects.json"

    def prepare(self) -> None:
        """Make the certificate."""
        ensure(DirectoryStore(self.certificates), ("localhost", "127.0.0.1"), now=datetime.now(UTC))

    def authority(self) -> bytes:
        """The PEM of the authority that signed it."""
        return (self.certificates / "ca.crt").read_bytes()

    def trusted(self) -> ssl.SSLContext:
        """What trusts that certificate."""
        return ssl.create_default_context(cafile=self.certificates / "ca.crt")

    def client(self) -> httpx.Client:
        """Asks any of the contestants."""
        return httpx.Client(verify=self.trusted(), trust_env=False)


@dataclass(frozen=True)
class Contestant:
    """A running server. `cold_start` is seconds from its process's start to its ready line."""

    name: str
    process: subprocess.Popen[str]
    url: str
    cold_start: float

    def cpu(self) -> float:
        """Seconds of CPU that it took so far."""
        return cpu_of(self.process.pid)

    def resident(self) -> float:
        """MiB of memory that it holds now."""
        return resident_of(self.process.pid)


def resident_of(pid: int) -> float:
    """MiB of memory that a process holds now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process took so far, its threads' all and its children's not."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


NAMES = ("bare", "vmguard", "typed-go")


def command(name: str, ground: Ground) -> tuple[list[str], dict[str, str]]:
    """How to start one, and its environment.

    A name that is a path is the vmguard of another checkout; it runs with the checkout's own `.venv`, if it has one.
    """
    port = str(free_port())
    if name == "bare":
        return [sys.executable, str(ROOT / "bench" / "bare.py"), port, str(ground.certificates)], environment()
    if name == "typed-go":
        options = ["--objects", str(ground.objects), "--cert-dir", str(ground.certificates), "--port", port]
        return [str(binary("typed-go")), *options], environment(GOMAXPROCS="1")
    listen = {"VMGUARD_LISTEN": f"127.0.0.1:{port}", "VMGUARD_OPS_LISTEN": "127.0.0.1:0"}
    options = ["--standalone", "--objects", str(ground.objects), "--cert-dir", str(ground.certificates)]
    return vmguard(name, "serve", *options), {**environment(**listen), **code_of(name, ground)}


def vmguard(name: str, *words: str) -> list[str]:
    """A command of a checkout's vmguard; `vmguard` is this one's."""
    own = Path(name) / ".venv" / "bin" / "python"
    return [str(own) if name != "vmguard" and own.exists() else sys.executable, "-m", "webhook.cli.main", *words]


def code_of(name: str, ground: Ground) -> dict[str, str]:
    """The variables that make Python run a checkout's code, compiled once, as it is where a package is installed."""
    code = ROOT if name == "vmguard" else Path(name)
    return {
        "PYTHONPATH": str(code),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(ground.folder / "compiled"),
    }


@contextmanager
def running(name: str, ground: Ground) -> Iterator[Contestant]:
    """One contestant, pinned to the server's core."""
    with started(name, ground, *command(name, ground)) as contestant:
        yield contestant


@contextmanager
def started(name: str, ground: Ground, words: list[str], variables: dict[str, str]) -> Iterator[Contestant]:
    """A server by its command and environment, pinned to the server's core; it has printed its ready line."""
    told = ground.folder / f"{Path(name).name}.log"
    with told.open("wb") as log, on_core(SERVER_CORE):
        begun = time.monotonic()
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=log, text=True, env=variables, cwd=ground.folder
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        cold_start = time.monotonic() - begun
        if "https://" not in line:
            raise RuntimeError(f"{name} did not start: {told.read_text()[-2000:]}")
        yield Contestant(name, process, line[line.index("https://") :].split()[0].rstrip(","), cold_start)
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout
        process.stdout.close()


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """What is started inside runs on one core; all cores where they cannot be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
