"""Bytes for one connection of a server protocol in this process, over a transport that only writes down."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from webhook.server.connection import ListenerState
from webhook.server.http import HTTPResponse, respond

TURNS = 8
"""Turns of the event loop after each part, enough for an application that does not wait."""


class Transport(asyncio.Transport):
    """Writes down what is written until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class Wire:
    """One connection, its transport and the state of its server."""

    connection: Any
    transport: Transport
    state: ListenerState

    @property
    def statuses(self) -> list[int]:
        """Of the responses so far."""
        lines = self.transport.written.split(b"HTTP/1.1 ")[1:]
        return [int(line[:3]) for line in lines]


@dataclass
class Echo:
    """An application that notes each request whose body came whole, and answers the number of its bytes."""

    seen: list[tuple[Any, ...]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            more = message["more_body"]
        self.note(scope, body)
        await respond(send, self.response(body))

    def note(self, scope: Any, body: bytes) -> None:
        asked = ("method", "path", "raw_path", "query_string", "http_version")
        self.seen.append((*(scope[name] for name in asked), tuple(scope["headers"]), body))

    def response(self, body: bytes) -> HTTPResponse:
        return HTTPResponse(200, b'{"length":%d}' % len(body))


async def turns(count: int = TURNS) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def opened(protocol: type[Any], app: Callable[..., Any]) -> Wire:
    """A connection that has just been made; to be called in a running loop."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, proxy_headers=False, ws="none")
    config.load()
    state = ListenerState()
    state.default_headers = [(b"date", b"today")]
    transport, connection = Transport(), protocol(config, state, {})
    connection.connection_made(transport)
    return Wire(connection, transport, state)


async def closed(wire: Wire) -> None:
    """The connection is lost, and all that was under way for it has ended."""
    wire.connection.connection_lost(None)
    while wire.state.tasks:  # noqa: ASYNC110 - uvicorn tells by its attributes
        await asyncio.sleep(0)


def sent(protocol: type[Any], app: Callable[..., Any], parts: Iterable[bytes]) -> Wire:
    """The connection after a client has sent these parts, each in a read of its own, as long as it is open."""

    async def run() -> Wire:
        wire = opened(protocol, app)
        for part in parts:
            if not wire.transport.closed:
                wire.connection.data_received(part)
            await turns()
        closing = wire.transport.closed
        await closed(wire)
        wire.transport.closed = closing
        return wire

    return asyncio.run(run())
