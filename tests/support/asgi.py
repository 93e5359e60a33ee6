"""An ASGI application asked in this process, and the admission application to be asked."""

import asyncio
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from webhook.offline.file_facts import FileFacts
from webhook.server.admission_handler import AdmissionHandler
from webhook.server.lifecycle import State
from webhook.settings import Settings
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

JSON = ((b"content-type", b"application/json"),)


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class InProcessApp:
    """An application, what it has logged and what it has counted."""

    app: Any
    stderr: io.BytesIO
    metrics: Metrics

    def ask(
        self,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        *,
        method: str = "POST",
        query: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = JSON,
    ) -> HttpAnswer:
        """One request; a body of several parts arrives in parts."""
        return asyncio.run(self.answer(path, body, method=method, query=query, headers=headers))

    async def answer(self, path, body=b"", *, method="POST", query=b"", headers=JSON) -> HttpAnswer:
        """As `ask`, in a loop that runs already."""
        scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": list(headers)}
        scope |= {"raw_path": path.encode(errors="replace"), "scheme": "https", "root_path": "", "http_version": "1.1"}
        scope |= {"server": ("localhost", 8443), "client": ("127.0.0.1", 1)}
        parts = [body] if isinstance(body, bytes) else list(body)
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]]
        messages += [{"type": "http.request", "body": parts[-1]}]
        sent = []

        async def receive():
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        start, *rest = sent
        answered = {name.decode(): value.decode() for name, value in start["headers"]}
        return HttpAnswer(start["status"], answered, b"".join(message.get("body", b"") for message in rest))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stderr.getvalue().splitlines()]


def admission(
    objects: list[dict[str, Any]], minor: int = 30, offer: Callable[[Any], None] | None = None, **environment: str
) -> InProcessApp:
    """The application behind `/mutate` and `/validate`, for the objects of one cluster; `offer` takes events."""

    async def rest(scope, receive, send):
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    stderr = io.BytesIO()
    settings = Settings.from_environment(environment)
    metrics = Metrics()
    app = AdmissionHandler(
        rest, FileFacts(objects, minor), settings, metrics, Log("debug", stderr), State(), offer=offer
    )
    return InProcessApp(app, stderr, metrics)
