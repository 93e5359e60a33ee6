"""A bare ASGI server to measure against: reads the body, looks at nothing, and answers one constant small review.

What is left of a webhook when its work is taken away: `python bench/bare.py PORT CERT_DIR`. The same uvicorn, event
loop, parser and TLS as `vmguard serve`.
"""

import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

ANSWER = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"none","allowed":true}}'
HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())],
}
BODY = {"type": "http.response.body", "body": ANSWER}


async def answer(
    _: object, receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """The ASGI application."""
    more, body = True, b""
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send(HEAD)
    await send(BODY)


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(f"serves https://localhost:{sys.argv[1]}", flush=True)


def main() -> None:
    """Serve until a signal."""
    certificates = Path(sys.argv[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificates / "tls.crt", certificates / "tls.key")
    config = uvicorn.Config(
        answer,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=120,
        ssl_context_factory=lambda _config, _default: context,
    )
    _Server(config).run()


if __name__ == "__main__":
    main()
