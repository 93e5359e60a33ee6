"""Replicas of `vmguard serve` in a control plane: the real command as processes beside it, behind a Service.

Each replica makes its own certificate. They are installed as their manifests install them, for all namespaces, while
they run. Nothing here decides anything.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.controlplane.api import Object, wait_for
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import Process
from tests.controlplane.registration import wait_until_called
from tests.support.egress import Egress, egress_of
from tests.support.server import environment, serving_at
from webhook.manifests.webhooks import Service, configurations

SERVICE = Service()
"""The Service of the manifests."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A running replica. `port` is that of its webhook, `operations` the address of its operations listener."""

    process: Process
    port: int
    operations: str


@contextmanager
def guarding(plane: ControlPlane, replicas: int = 1, **settings: str) -> Iterator[tuple[Guard, ...]]:
    """A control plane whose API server calls vmguard, until the end of the block."""
    plane.namespace(SERVICE.namespace)
    ports = [{"port": SERVICE.port, "targetPort": 8443}]
    service = plane.api.create(_named("Service", SERVICE.name, spec={"ports": ports}), SERVICE.namespace)
    plane.api.create(_named("Secret", f"{SERVICE.name}-ca", type="Opaque"), SERVICE.namespace)
    made = configurations(SERVICE)
    for each in made:
        plane.api.create(each)
    processes = [_start(plane, number + 1, settings) for number in range(replicas)]
    try:
        with egress_of(plane) as egress:
            guards = tuple(_ready(each, egress, service["spec"]["clusterIP"]) for each in processes)
            wait_until_called(plane)
            yield guards
    finally:
        for each in made:
            plane.api.delete_if_there(each["apiVersion"], each["kind"], each["metadata"]["name"])
        for process in processes:
            process.end()


def _named(kind: str, name: str, **fields: object) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **fields}


def _start(plane: ControlPlane, number: int, settings: dict[str, str]) -> Process:
    command = [sys.executable, "-m", "webhook.cli.main", "serve", "--kubeconfig", str(plane.kubeconfig())]
    own = {
        "POD_NAMESPACE": SERVICE.namespace,
        "VMGUARD_LISTEN": "127.0.0.1:0",
        "VMGUARD_OPS_LISTEN": "127.0.0.1:0",
    }
    return Process(command, plane.folder / f"vmguard-{number}.log", environment(**settings, **own))


def _ready(process: Process, egress: Egress, cluster_ip: str) -> Guard:
    """Wait until a replica serves, and route requests for the Service to it."""

    def serving() -> tuple[int, str] | None:
        process.check()
        return serving_at(process.log.read_text())

    port, operations = wait_for(serving, "vmguard to serve")
    egress.ports.setdefault(cluster_ip, []).append(port)
    return Guard(process, port, operations)
