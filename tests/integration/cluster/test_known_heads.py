"""The API server's reviews come with heads that are known from the second on, however it cuts them up."""

import asyncio
import json
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import uvicorn

from certs import DirectoryStore, ensure
from tests.controlplane.api import wait_for
from tests.controlplane.registration import LABEL, PROBES, registered
from webhook.server.connection import Connection
from webhook.server.http import HTTPResponse, headers_of, read_body, respond

SMALL, LARGE = 1, 30_000
"""Bytes of a pod's annotation."""


class _App:
    """Allows whatever it is asked, and counts how."""

    def __init__(self):
        self.parsed = self.known = 0

    async def __call__(self, scope, receive, send):
        self.parsed += 1
        body = await read_body(headers_of(scope), receive, 1 << 20)
        await respond(send, HTTPResponse(200, _allowed(body)))

    def at_once(self, scope):
        def answer(body):
            self.known += 1
            return _allowed(body)

        return answer


def _allowed(body):
    review = json.loads(body)
    response = {"uid": review["request"]["uid"], "allowed": True, "warnings": list(PROBES)}
    return json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()


@contextmanager
def _serving(app, folder):
    bundle, _ = ensure(DirectoryStore(folder), ("localhost", "127.0.0.1"), now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    config = uvicorn.Config(
        app,
        port=0,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        ssl_context_factory=lambda *_: context,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, "the webhook to serve")
        yield f"https://localhost:{server.servers[0].sockets[0].getsockname()[1]}", bundle.authority_pem
    finally:
        server.should_exit = True
        thread.join(20)


def test_the_api_servers_heads_are_known_from_the_second_on(plane, tmp_path):
    app = _App()
    with _serving(app, tmp_path) as (base, ca), registered(plane, base, ca, "heads"):
        namespace = plane.namespace("known-heads", {LABEL: "heads"})
        for number in range(20):
            about = {"name": f"p{number}", "labels": {"managed-by": "vm-operator"}}
            about["annotations"] = {"size": "x" * (LARGE if number % 2 else SMALL)}
            spec = {"containers": [{"name": "c", "image": "i"}]}
            plane.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}, namespace)
    assert app.parsed <= 8
    assert app.known >= 30
