"""The operations listener, plain HTTP: `/livez` and `/healthz`, `/readyz` (`?verbose`), `/metrics`."""

import asyncio

from webhook.server.http import HTTPResponse, Receive, Scope, Send, error_body, respond
from webhook.server.lifecycle import State
from webhook.telemetry.metrics import Metrics

_TEXT = b"text/plain; charset=utf-8"


class Operations:
    """The ASGI application of the operations listener."""

    def __init__(self, metrics: Metrics, state: State) -> None:
        self._metrics = metrics
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's shape
        """Answer one request."""
        if scope["type"] != "http":
            return
        await respond(send, self._response(scope))

    def _response(self, scope: Scope) -> HTTPResponse:
        path = scope["path"]
        if path not in {"/livez", "/healthz", "/readyz", "/metrics"}:
            return HTTPResponse(404, error_body(404, "there are /livez, /healthz, /readyz and /metrics"))
        if scope["method"] not in {"GET", "HEAD"}:
            return HTTPResponse(405, error_body(405, f"{path} takes GET"), allow=b"GET, HEAD")
        if path in {"/livez", "/healthz"}:
            return HTTPResponse(200, b"ok", _TEXT)
        if path == "/metrics":
            self._metrics.tasks.set(len(asyncio.all_tasks()))
            accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
            shown, content_type = self._metrics.exposition(accept.decode("latin-1"))
            return HTTPResponse(200, shown, content_type.encode())
        checks = self._state.reasons
        ready = all(value == "ok" for value in checks.values())
        verbose = scope["query_string"].split(b"=")[0] == b"verbose"
        if ready and not verbose:  # anyone may send many of these, so they read nothing more
            return HTTPResponse(200, b"ok", _TEXT)
        lines = "".join(f"[{'+' if value == 'ok' else '-'}]{name} {value}\n" for name, value in checks.items())
        lines += "".join(f"[!]{name} {value}\n" for name, value in self._state.notes().items() if value)
        lines += "".join(f"[i]{name} {value}\n" for name, value in self._state.tells().items())
        text = f"{lines}readyz check {'passed' if ready else 'failed'}\n"
        return HTTPResponse(200 if ready else 503, text.encode(), _TEXT)
