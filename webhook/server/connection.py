"""One connection of a listener: uvicorn's HTTP/1.1 protocol with the bounds that uvicorn does not set.

uvicorn 0.54 waits for ever for a first request, for the rest of one and for a client to take its answer; its C parser
takes a head of any size. A client meets each bound with a reason in JSON, or with a closed connection where it would
not read one. A request whose head is known and whose answer is at hand goes past uvicorn, whose work on one request
costs as much as a decision. Nothing here knows what a request is for.
"""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections.abc import Callable
from typing import Any, ClassVar, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from webhook.server.heads import AtOnce, Heads
from webhook.server.http import Scope, error_body


class Connection(HttpToolsProtocol):
    """Serves one connection within bounds."""

    seconds: ClassVar[float] = 60.0
    """For one request, from its first byte to the last of its answer; twice what the API server waits at most."""

    most_connections: ClassVar[int] = 1000
    """At one time; an API server keeps up to 25 idle. One idle TLS connection takes about 50 KB."""

    most_beside_body: ClassVar[int] = 64 * 1024
    """Bytes of a request that are not its body: its head, chunk sizes, trailers. One read more may slip through."""

    parting: ClassVar[float] = 3.0
    """Seconds at the server's end for a request to become whole and for the client to end its side."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._since: float | None = None
        self._idle_since = self.loop.time()
        self._reading = False
        self._beside_body = 0
        self._watch: TimerHandle | None = None
        self._at_once: Callable[[Scope], AtOnce | None] | None = getattr(self.app, "at_once", None)
        self._heads = Heads()
        self._held = bytearray()
        self._lacking = 0
        self._dated: tuple[list[tuple[bytes, bytes]] | None, bytes] = None, b""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self.logger.warning("a connection was refused: %d are open", self.most_connections)
            transport.abort()
            return
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._parse_held()
        if self._watch:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._held:
            self._held += data
            self._lacking -= len(data)
            if self._lacking > 0:
                return
            data = self._released()
        elif self._since is not None:
            self._parse(data)
            return
        answer, start, end = self._heads.find(data) or (None, 0, 0)
        if answer and end == len(data) and self._answered(answer, data[start:]):
            return
        self._since = self._since or self.loop.time()
        if answer is None:
            self._parse_first(data)
        elif end > len(data):
            self._held += data
            self._lacking = end - len(data)
        else:
            self._parse(data)

    def _answered(self, answer: AtOnce, body: bytes) -> bool:
        """Whether a whole request was answered at once."""
        said = None if self.flow.write_paused else answer(body)
        if said is None:
            return False
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (self._head(), len(said), said))
        self._idle_since = self.loop.time()
        self._since = None
        return True

    def _parse_first(self, data: bytes) -> None:
        """Parse what may begin a request, and know its head the next time if the application answers such at once."""
        before = self.cycle
        self._parse(data)
        if self._at_once and self.cycle is not before and not self.transport.is_closing():
            scope = cast("Scope", self.cycle.scope)
            answer = self._at_once(scope)
            if answer:
                self._heads.learn(data, scope, answer)

    def _parse(self, data: bytes) -> None:
        self._beside_body += len(data)
        super().data_received(data)
        if self._beside_body > self.most_beside_body and not self.transport.is_closing():
            self._refuse(431, f"the request has more than {self.most_beside_body} bytes beside its body")

    def _parse_held(self) -> None:
        """Leave to uvicorn what was held back until it would be whole."""
        if self._held:
            self._parse(self._released())

    def _released(self) -> bytes:
        data = bytes(self._held)
        self._held.clear()
        return data

    def _head(self) -> bytes:
        """The head of a 200 with JSON but for its length; uvicorn makes the headers of its own anew each second."""
        ours = self.server_state.default_headers
        if self._dated[0] is not ours:
            lines = b"".join([b"%b: %b\r\n" % header for header in ours])
            self._dated = ours, b"HTTP/1.1 200 OK\r\n%bcontent-type: application/json\r\n" % lines
        return self._dated[1]

    def on_message_begin(self) -> None:
        self._since = self._since or self.loop.time()
        self._reading = True
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self._beside_body -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside_body = 0
        self._reading = False
        super().on_message_complete()
        if self.cycle.response_complete:  # answered before it was whole
            self._since = None

    def on_response_complete(self) -> None:
        """As uvicorn's, but without a timer for each answer: `_look` ends what is idle."""
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        self._since = self._idle_since if self._reading or self.pipeline else None
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def shutdown(self) -> None:
        self._parse_held()
        super().shutdown()
        if self._watch:
            self._watch.cancel()
        self._watch = self.loop.call_later(self.parting, self._part)

    def _part(self) -> None:
        if self._reading or self.transport.is_closing():
            self.transport.abort()
        else:  # its answer is under way, which the server waits for
            self._watch = self.loop.call_later(self.parting, self._part)

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade is never taken; the parser reads nothing after one, so the connection ends with the answer."""
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _look(self) -> None:
        """Look whether the request under way, the end of the connection, or the next request takes too long.

        Go's client keeps a connection that lost a race unused among its idle ones: it may stay as long as they may.
        """
        now = self.loop.time()
        idle_until = self._idle_since + self.timeout_keep_alive
        if self._since is None and now >= idle_until:
            self.transport.close()
        closing = self.transport.is_closing()
        if self._since is None and closing:
            self._since = now
        elif self._since is not None and now - self._since >= self.seconds:
            if closing:
                self.transport.abort()
                return
            self._refuse(408, f"the request took more than {self.seconds:g} s")
            self._since = now
        due = min(now + self.seconds, idle_until) if self._since is None else self._since + self.seconds
        self._watch = self.loop.call_at(due, self._look)

    def _refuse(self, code: int, message: str) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()
            return
        body = error_body(code, message)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[code] + head + body)
        self.transport.close()
