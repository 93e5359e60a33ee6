"""The way from an API server to the Services of a control plane: a proxy for HTTP CONNECT on its egress socket."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.controlplane.api import Object
from tests.controlplane.plane import ControlPlane
from tests.support.patience import PATIENCE
from tests.support.server import Server


class Egress:
    """Connects to a port of the loopback for each Service; `ports` are those of its endpoints by its cluster IP.

    They may be those of one pod too, by its address. An IPv6 address is in brackets, and leads to ::1.
    Endpoints that refuse connections are passed over, as a load balancer does.
    """

    def __init__(self, plane: ControlPlane) -> None:
        plane.egress.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(plane.egress))
        self._listener.listen(128)
        self._open: set[socket.socket] = set()
        self.ports: dict[str, list[int]] = {}

    def listen(self) -> dict[str, str]:
        """The settings with which the next replica listens: a port of 127.0.0.1."""
        return {}

    def add(self, service: Object, server: Server) -> None:
        """A replica belongs to a Service from now on."""
        self.ports.setdefault(service["spec"]["clusterIP"], []).append(server.port)

    def run(self) -> None:
        """Connect until `end`."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.add(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def cut(self) -> None:
        """End every connection, so that the API server makes new ones.

        This waits until the API server has closed them: a request that it sends on a connection that ends fails.
        """
        ended = tuple(self._open)
        for each in ended:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_WR)
        until = time.monotonic() + PATIENCE
        while not self._open.isdisjoint(ended) and time.monotonic() < until:
            time.sleep(0.001)

    def end(self) -> None:
        """Connect nothing any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError):
            self._forward(client)
        self._open.discard(client)

    def _forward(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (piece := client.recv(4096)):
            head += piece
        if not head:
            return
        address = head.split()[1].decode().rpartition(":")[0]
        server = self._connected(address)
        if server is None:
            client.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            return
        with server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            _pump(client, server)

    def _connected(self, address: str) -> socket.socket | None:
        for port in self.ports.get(address, ()):
            with contextlib.suppress(OSError):
                return socket.create_connection(("::1" if address.startswith("[") else "127.0.0.1", port))
        return None


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def egress_of(plane: ControlPlane) -> Iterator[Egress]:
    """The egress of a control plane, until the block ends."""
    made = Egress(plane)
    threading.Thread(target=made.run, daemon=True).start()
    try:
        yield made
    finally:
        made.end()
