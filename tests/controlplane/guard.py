"""`vmguard serve` in a control plane: the real command as a process beside it, asked by the API server on loopback.

It registers the generated webhook configurations by URL and takes them away again. It decides nothing itself.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from certs import DirectoryStore, ensure
from tests.controlplane.api import ApiError, Object, wait_for
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import Process
from tests.support.server import READY, environment
from webhook.manifests.webhooks import NAME, Url, configurations
from webhook.policy.workload import MANAGED_BY

_REGISTRATION = "admissionregistration.k8s.io/v1"
_PROBE: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe", "labels": dict([MANAGED_BY])},
    "spec": {"containers": [{"name": "probe", "image": "probe"}]},
}


@dataclass(frozen=True, slots=True)
class Guard:
    """A running vmguard. `base` is the webhook's address as the API server knows it, `operations` that of /metrics."""

    process: Process
    base: str
    ca: Path
    operations: str

    def metrics(self) -> str:
        return httpx.get(f"{self.operations}/metrics", trust_env=False).text


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
        made = configurations(Url(guard.base), guard.ca.read_bytes())
        try:
            for each in made:
                plane.api.create(each)
            wait_for(lambda: _is_asked(plane, guard), "the API server to ask vmguard")
            yield guard
        finally:
            for each in made:
                plane.api.delete_if_there(_REGISTRATION, each["kind"], NAME)
    finally:
        process.end()


def _ready(process: Process, ca: Path) -> Guard:
    def said() -> str | None:
        process.check()
        found = READY.search(process.log.read_text())
        return found[1] if found else None

    base = wait_for(said, "vmguard to serve", 30).replace("localhost", "127.0.0.1")
    started = next(line for line in process.log.read_text().splitlines() if '"serving"' in line)
    return Guard(process, base, ca, json.loads(started)["operations"])


def _is_asked(plane: ControlPlane, guard: Guard) -> bool:
    """Whether a pod that is never stored goes through both webhooks."""
    try:
        plane.api.create(_PROBE, "default", dryRun="All")
    except ApiError:
        return False
    return all(f'webhook="{webhook}"' in guard.metrics() for webhook in ("mutate", "validate"))
