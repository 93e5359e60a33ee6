"""`vmguard serve` in a control plane: the real command as a process beside it, asked by the API server on loopback.

It is registered while it runs. It decides nothing itself.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from certs import DirectoryStore, ensure
from tests.controlplane.api import wait_for
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import Process
from tests.controlplane.registration import registered
from tests.support.server import READY, environment


@dataclass(frozen=True, slots=True)
class Guard:
    """A running vmguard. `base` is the webhook's address as the API server knows it."""

    process: Process
    base: str
    ca: Path


@contextmanager
def guarding(plane: ControlPlane, **settings: str) -> Iterator[Guard]:
    """A control plane whose API server asks vmguard, and waits for the answer, until the end of the block."""
    folder = plane.folder / "vmguard"
    folder.mkdir(exist_ok=True)
    ensure(DirectoryStore(folder), ("localhost", "127.0.0.1"), now=datetime.now(UTC))
    command = [sys.executable, "-m", "webhook.cli.main", "serve"]
    command += ["--kubeconfig", str(plane.kubeconfig()), "--cert-dir", str(folder)]
    ports = {"VMGUARD_LISTEN": "127.0.0.1:0", "VMGUARD_OPS_LISTEN": "127.0.0.1:0"}
    log = plane.folder / "vmguard.log"
    log.unlink(missing_ok=True)
    process = Process(command, log, environment(**ports, **settings))
    try:
        guard = _ready(process, folder / "ca.crt")
        with registered(plane, guard.base, guard.ca.read_bytes()):
            yield guard
    finally:
        process.end()


def _ready(process: Process, ca: Path) -> Guard:
    def said() -> str | None:
        process.check()
        found = READY.search(process.log.read_text())
        return found[1] if found else None

    base = wait_for(said, "vmguard to serve").replace("localhost", "127.0.0.1")
    return Guard(process, base, ca)
