"""Another mutating webhook: it adds one container to each pod that the API server sends, as service meshes do."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from certs import DirectoryStore, ensure


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        response = {"uid": request["uid"], "allowed": True}
        name = self.path.partition("?")[0].strip("/")
        if name not in {container["name"] for container in request["object"]["spec"]["containers"]}:
            operation = {"op": "add", "path": "/spec/containers/-", "value": {"name": name, "image": "mesh"}}
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps([operation]).encode()).decode()}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def injecting(folder: Path) -> Iterator[tuple[str, bytes]]:
    """`(base url, authority's PEM)` of a running injector; the path it is called at names the container it adds."""
    bundle, _ = ensure(DirectoryStore(folder), ("localhost", "127.0.0.1"), now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}", bundle.authority_pem
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
