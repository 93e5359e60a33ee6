"""The endpoints of Services, for a control plane that reaches Services by their EndpointSlices.

It plays the kubelet, which probes the readiness of each replica, and the controller that writes EndpointSlices. Each
replica has an address of its own. It needs a network namespace (`network_namespace`).
"""

import itertools
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import httpx

from tests.controlplane.api import Api, ApiError, Object, wait_for
from tests.controlplane.plane import ADMIN, ControlPlane
from tests.support.in_background import in_background
from tests.support.proxy import proxied
from tests.support.server import Server

PORT = 8443
PROBE_EVERY = 1.0
"""Seconds, and the time that a replica has to answer."""

_SLICES = ("discovery.k8s.io/v1", "EndpointSlice")


@dataclass(eq=False)
class _Endpoint:
    """One replica of a Service. `ready` is the result of the last probe. A terminating replica counts as not ready."""

    address: str
    readiness: str
    ready: bool = False
    terminating: bool = False


@dataclass
class _Service:
    """A Service with its endpoints, and the addresses in its EndpointSlice. `port` is the name of its first port."""

    namespace: str
    name: str
    port: str
    endpoints: list[_Endpoint] = field(default_factory=list)
    written: list[str] | None = None

    @property
    def ready(self) -> list[str]:
        return [each.address for each in self.endpoints if each.ready and not each.terminating]


class ServiceNetwork:
    """The endpoints of all Services of one control plane, probed and written by `run`.

    With `fin_delay`, in seconds, a proxy stands before each replica. Where the replica ends a connection, the API
    server learns it that much later.
    """

    def __init__(self, plane: ControlPlane, stack: ExitStack, fin_delay: float = 0.0) -> None:
        self._api: Api = plane.api_as(*ADMIN)
        self._stack = stack
        self._fin_delay = fin_delay
        self._numbers = itertools.count(1)
        self._services: dict[tuple[str, str], _Service] = {}
        self._over = False
        self._at_once = threading.Event()

    def listen(self) -> dict[str, str]:
        """The settings with which the next replica listens."""
        number = next(self._numbers)
        address = f"10.1.{number // 250}.{number % 250 + 1}"
        return {"VMGUARD_LISTEN": f"{address}:{PORT}", "VMGUARD_OPS_LISTEN": f"{address}:8080"}

    def add(self, service: Object, server: Server) -> None:
        """A replica belongs to a Service from now on; it gets requests while it is ready."""
        meta = service["metadata"]
        made = _Service(meta["namespace"], meta["name"], service["spec"]["ports"][0].get("name", ""))
        known = self._services.setdefault((made.namespace, made.name), made)
        address = server.host
        if self._fin_delay:
            address = address.replace("10.1.", "10.2.", 1)
            proxy = self._stack.enter_context(proxied(server.port, server.host, (address, PORT)))
            proxy.fin_delay = self._fin_delay
        known.endpoints.append(_Endpoint(address, _readiness(server)))

    def cut(self) -> None:
        """Do nothing: the connections of the API server stay open."""

    def terminate(self, server: Server) -> None:
        """Begin the end of a replica as the deletion of its pod does: it gets SIGTERM and leaves the EndpointSlice."""
        for service in self._services.values():
            for each in service.endpoints:
                each.terminating = each.terminating or each.readiness == _readiness(server)
        self._at_once.set()
        server.process.send_signal(signal.SIGTERM)

    def reaches(self, *servers: Server) -> None:
        """Wait until the EndpointSlices have these replicas."""
        wanted = set(map(_readiness, servers))
        wait_for(lambda: wanted <= self._reached(), "the replicas to be in the EndpointSlice")

    def leaves(self, *servers: Server) -> None:
        """Wait until the EndpointSlices have none of these replicas."""
        gone = set(map(_readiness, servers))
        wait_for(lambda: gone.isdisjoint(self._reached()), "the replicas to leave the EndpointSlice")

    def _reached(self) -> set[str]:
        services = self._services.values()
        return {
            each.readiness for known in services for each in known.endpoints if each.address in (known.written or ())
        }

    def run(self) -> None:
        """Probe and write until `end`."""
        while not self._over:
            probing = not self._at_once.wait(PROBE_EVERY)
            self._at_once.clear()
            for service in tuple(self._services.values()):
                self._look_after(service, probing=probing)

    def end(self) -> None:
        """Probe and write nothing any more."""
        self._over = True
        self._at_once.set()

    def _look_after(self, service: _Service, *, probing: bool) -> None:
        for each in service.endpoints if probing else ():
            each.ready = not each.terminating and _is_ready(each.readiness)
        ready = service.ready
        if ready != service.written:
            with suppress(ApiError, httpx.TransportError):  # the API server is away: at the next probe
                self._write(service, ready)
                service.written = ready

    def _write(self, service: _Service, ready: list[str]) -> None:
        endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in ready]
        if self._api.find(*_SLICES, service.name, service.namespace):
            self._api.patch(*_SLICES, service.name, {"endpoints": endpoints}, service.namespace)
            return
        made = {
            "apiVersion": _SLICES[0],
            "kind": _SLICES[1],
            "metadata": {"name": service.name, "labels": {"kubernetes.io/service-name": service.name}},
            "addressType": "IPv4",
            "ports": [{"name": service.port, "port": PORT, "protocol": "TCP"}],
            "endpoints": endpoints,
        }
        self._api.create(made, service.namespace)


def _readiness(server: Server) -> str:
    return f"{server.operations}/readyz"


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=PROBE_EVERY, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def service_network(plane: ControlPlane, fin_delay: float = 0.0) -> Iterator[ServiceNetwork]:
    """The endpoints of a control plane's Services, until the block ends."""
    with ExitStack() as stack:
        made = ServiceNetwork(plane, stack, fin_delay)
        with in_background(made.run, made.end):
            yield made
