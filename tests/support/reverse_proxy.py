"""An HTTP proxy between vmguard and an API server that answers for some paths itself, or lets them wait.

It is its user to the API server, so vmguard needs no credentials for it. What it does not answer it passes on, watches
as they come.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.controlplane.plane import ADMIN, ControlPlane
from tests.support.kubeconfigs import kubeconfig_to

_PASSED = ("accept", "content-type")


class ReverseProxy:
    """Paths that hold `path` are answered with the status `code`, or with 0 wait until the end; None passes them on.

    With `method` this is for requests of that method only. `reached` is set when one of them has come.
    """

    def __init__(self, plane: ControlPlane, path: str, folder: Path) -> None:
        self.code: int | None = None
        self.method = ""
        self.reached = threading.Event()
        self.over = threading.Event()
        self.upstream: set[socket.socket] = set()
        context = plane.identities.context(plane.identities.client(*ADMIN))
        self._client = httpx.Client(base_url=plane.url, verify=context, timeout=None, trust_env=False)  # noqa: S113
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                is_other = path not in self.path or proxy.method not in {"", self.command}
                if proxy.code is None or is_other:
                    self._pass_on()
                    return
                proxy.reached.set()
                if proxy.code == 0:
                    proxy.over.wait(60)
                else:
                    self._send(proxy.code, json.dumps({"kind": "Status", "message": "not now"}).encode())

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: self.headers[name] for name in _PASSED if name in self.headers}
                with (
                    suppress(httpx.TransportError, OSError),
                    proxy._client.stream(self.command, self.path, content=body, headers=headers) as answer,
                ):
                    proxy.upstream.add(answer.extensions["network_stream"].get_extra_info("socket"))
                    self.send_response(answer.status_code)
                    self.send_header("Content-Type", answer.headers.get("content-type", ""))
                    self.end_headers()
                    for piece in answer.iter_bytes():
                        self.wfile.write(piece)
                        self.wfile.flush()

            def _send(self, code: int, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler._answer)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.kubeconfig = kubeconfig_to(url, folder / "reverse.kubeconfig")

    def close(self) -> None:
        """Close the connections to the API server."""
        self._client.close()


@contextmanager
def reverse_proxied(plane: ControlPlane, path: str, folder: Path) -> Iterator[ReverseProxy]:
    """A running proxy to a control plane's API server."""
    proxy = ReverseProxy(plane, path, folder)
    thread = threading.Thread(target=proxy.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.server.shutdown()
        for each in proxy.upstream:
            with suppress(OSError):  # closed already
                each.shutdown(socket.SHUT_RDWR)  # which ends a watch that waits
        proxy.server.server_close()  # waits for every thread
        proxy.close()
        thread.join(5)
