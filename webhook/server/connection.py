"""One connection of a listener: uvicorn's HTTP/1.1 protocol with limits that uvicorn does not have.

uvicorn 0.54 waits for ever for a first request, for the rest of one, and for a client to read its answer. Its parser
takes a head of any size, and queues requests that arrive before an answer. Here all connections share a budget for the
bodies of their requests (`body_budget`), and a new connection can replace an idle one (`open_connections`). A client
that exceeds a limit gets a reason in JSON, or a closed connection if it would not read one.

uvicorn's parser (llhttp) reads every request. One thing differs: the task of a small POST starts when its body is
complete (`_start_asgi_task`), and there is no task if the application answers at once. This module does not know the
meaning of a request.
"""

from asyncio import AbstractEventLoop, CancelledError, Task, TimerHandle, Transport, current_task
from collections.abc import Awaitable, Callable, Collection
from typing import Any, ClassVar, cast

import httptools
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from webhook.server.body_budget import BodyBudget
from webhook.server.http import HTTPResponse, Receive, Scope, Send, error_body, respond
from webhook.server.open_connections import OpenConnections

Begin = Callable[[Scope, bytes], HTTPResponse | Awaitable[HTTPResponse] | None]
"""An application's `begin(scope, body)`, for a request with a complete body: the response, or what to await for it.

None, without any effect, for a request that the application takes as ASGI only.
"""

_SMALL_DIGITS = len(str(HIGH_WATER_LIMIT))

_STARTS_AT_ONCE = frozenset({b"expect", b"transfer-encoding"})
"""Headers of requests with a body that comes later, or with an unknown length."""


class ListenerState(ServerState):
    """The shared state of one listener's connections. `complain` takes a reason (a fixed word), a message and a level.

    `refusal` takes a client's certificate. It returns why the client is not served on the paths of `guarded`, "" if it
    is served.
    """

    def __init__(
        self,
        opened: OpenConnections | None = None,
        bodies: BodyBudget | None = None,
        complain: Callable[..., None] = lambda *_: None,
        refusal: Callable[[Any], str] = lambda _: "",
    ) -> None:
        super().__init__()
        self.open = OpenConnections() if opened is None else opened
        self.bodies = BodyBudget() if bodies is None else bodies
        self.complain = complain
        self.refusal = refusal
        self.guarded: Collection[str] = ()


class _MoreBytesError(Exception):
    """A second request begins in the read that ended the first."""


class Connection(HttpToolsProtocol):
    """Serves one connection within bounds."""

    seconds: ClassVar[float] = 60.0
    """For one request, from its first byte to the last of its answer; twice the longest wait of the API server."""

    most_beside_body: ClassVar[int] = 64 * 1024
    """Most bytes of a request without its body: its head, chunk sizes, trailers. One more read may pass."""

    parting: ClassVar[float] = 3.0
    """Seconds for the client to end its side of a closed connection; at the server's end, also for its request."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ListenerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._state = server_state
        self.handshake: Task[None] | None = None
        self.reviewed = False
        self._was_used = False
        self._body = self._counted = 0
        self._since: float | None = None
        self.idle_since = self.loop.time()
        self._reading = False
        self._whole_in_this_read = False
        self._ended = False
        self._beside_body = 0
        self._watch: TimerHandle | None = None
        self._begin: Begin | None = getattr(self.app, "begin", None)
        self._deferred: RequestResponseCycle | None = None
        self._stranger = ""
        self._answering_task: Task[None] | None = None
        self._made_way = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if self._state.open.add(self, self.client[0] if self.client else ""):
            self._stranger = self._state.refusal(transport.get_extra_info("peercert"))
            self._look()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch:
            self._watch.cancel()
        self._state.open.remove(self)
        self._drop_body()
        super().connection_lost(exc)
        if self._deferred:  # the application counts an incomplete request
            cycle, self._deferred = self._deferred, None
            super()._start_asgi_task(cycle, self.app)

    @property
    def answering(self) -> bool:
        """Whether there is a complete request without an answer."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        waits = cycle is not None and not self._reading and not cycle.response_complete
        return waits and not self.transport.is_closing()  # otherwise it was refused, and waits for its end

    @property
    def waiting_since(self) -> float:
        """When the current request began, in seconds of the loop."""
        return self.idle_since if self._since is None else self._since

    def make_way(self) -> None:
        """Close at once, because another connection needs the place; the work on its request also ends."""
        self._made_way = True
        if self.handshake:
            self.handshake.cancel()
        if self._answering_task:
            self.cycle.disconnected = True
            self._answering_task.cancel()
        if cast("Transport | None", self.transport):  # None during the handshake
            self.transport.abort()

    @property
    def _host(self) -> str:
        """The address of the client, "" for none."""
        return self.client[0] if self.client else ""

    def give_way(self) -> None:
        """End the request, because others need the memory of its body."""
        self._state.complain(
            "body-budget", "a request was ended: its body was not whole, and others needed the memory", self._host
        )
        self._refuse(503, "too many bytes of requests are not answered yet, and this body came too slowly")

    def data_received(self, data: bytes) -> None:
        if self._ended or self.transport.is_closing():
            return
        if self.answering:
            self._end_with_answer()
            return
        self._since = self._since or self.loop.time()
        self._beside_body += len(data)
        self._whole_in_this_read = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._leave_upgrade()
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _MoreBytesError):
                self._end_with_answer()
            else:
                self._state.complain("invalid", "a connection was closed: its client does not send HTTP", self._host)
                self._refuse(400, "Invalid HTTP request received.")
        if self.transport.is_closing():
            return
        if self._beside_body > self.most_beside_body:
            self._refuse(431, f"the request has more than {self.most_beside_body} bytes beside its body")
        elif self._body != self._counted:
            self._count_body()

    def _count_body(self) -> None:
        """Count the received part of the body of an unanswered request."""
        self._counted = self._body
        if not self._state.bodies.hold(self, self._body, whole=not self._reading):
            self._state.complain("body-budget", "a request was refused: there is no memory for its body", self._host)
            self._refuse(503, "too many bytes of requests are not answered yet")

    def _drop_body(self) -> None:
        """No longer count the body."""
        if self._counted:
            self._state.bodies.release(self)
        self._body = self._counted = 0

    def on_message_begin(self) -> None:
        if self._whole_in_this_read:
            raise _MoreBytesError
        self._reading = True
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self._beside_body -= len(body)
        if not self.cycle.response_complete:
            self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside_body = 0
        self._reading = False
        self._whole_in_this_read = True
        super().on_message_complete()
        if self._deferred:
            self._begin_deferred()
        elif self.cycle.response_complete:  # answered before it was complete
            self._since = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """The same as uvicorn's, but a small POST waits for its body, which uvicorn would buffer, too."""
        if self._stranger and cycle.scope["path"] in self._state.guarded:
            self._state.complain("client-certificate", f"a request was refused: {self._stranger}", self._host)
            self._refuse(403, self._stranger)
            return
        if self._begin and app is self.app and self._is_small_post(cast("Scope", cycle.scope)):
            self._deferred = cycle
        else:
            super()._start_asgi_task(cycle, self._ending_early(app))

    def _ending_early(self, app: ASGI3Application) -> ASGI3Application:
        """An ASGI application that ends its work when another connection replaces this one."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            self._answering_task = current_task()
            try:
                if not self._made_way:
                    await app(scope, receive, send)  # type: ignore[arg-type]  # uvicorn's types are narrower
            except CancelledError:
                if not self._made_way:
                    raise
            finally:
                self._answering_task = None

        return cast("ASGI3Application", answer)

    def _is_small_post(self, scope: Scope) -> bool:
        if scope["method"] != "POST" or self.parser.should_upgrade():
            return False
        headers = dict(scope["headers"])
        length: bytes = headers.get(b"content-length", b"")
        small = length.isdigit() and len(length) <= _SMALL_DIGITS and int(length) <= HIGH_WATER_LIMIT
        return small and _STARTS_AT_ONCE.isdisjoint(headers)

    def _begin_deferred(self) -> None:
        """Answer the deferred request, or start the task that does."""
        cycle, self._deferred = cast("RequestResponseCycle", self._deferred), None
        assert self._begin  # noqa: S101 - else nothing was deferred
        begun = self._begin(cast("Scope", cycle.scope), bytes(cycle.body))
        if isinstance(begun, HTTPResponse) and not self.flow.write_paused:
            self._write(cycle, begun)
        else:
            app = self.app if begun is None else self._finishing(begun)
            super()._start_asgi_task(cycle, self._ending_early(app))

    def _write(self, cycle: RequestResponseCycle, response: HTTPResponse) -> None:
        """Write a complete response in the same way as uvicorn."""
        lines = [STATUS_LINE[response.code]]
        for name, value in (*cycle.default_headers, *response.headers):
            lines += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive and not response.close:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join((*lines, b"\r\n", response.body)))
        self.reviewed = self.reviewed or response.reviewed
        cycle.response_started = cycle.response_complete = True
        if response.close or not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _finishing(self, begun: HTTPResponse | Awaitable[HTTPResponse]) -> ASGI3Application:
        """The ASGI application that finishes a started request."""

        async def finish(_: Scope, __: Receive, send: Send) -> None:
            response = begun if isinstance(begun, HTTPResponse) else await begun
            self.reviewed = self.reviewed or response.reviewed
            await respond(send, response)

        return cast("ASGI3Application", finish)

    def on_response_complete(self) -> None:
        """The same as uvicorn's, without a queue of requests and a timer for each answer: `_look` ends idle ones."""
        self.server_state.total_requests += 1
        self.idle_since = self.loop.time()
        self._since = self.idle_since if self._reading else None
        if self._body:
            self._drop_body()
        if not self._was_used:
            self._was_used = True
            self._state.open.use(self)
        if self._ended:
            self._close()
        elif not self.transport.is_closing():
            self.flow.resume_reading()

    def _end_with_answer(self) -> None:
        """Stop reading, and close after the current answer: the API server never sends a request before an answer."""
        self._state.complain(
            "early", "a connection was closed: its client sent more before the answer to its request", self._host
        )
        self._ended = True
        if self.cycle.response_complete:
            self._close()
        else:
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def _leave_upgrade(self) -> None:
        """Refuse an upgrade: the parser reads nothing after one, so the connection ends with the answer."""
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

    def _close(self) -> None:
        """Close in order, and abort a client that goes on sending: TLS would read until the client ends its side."""
        self.transport.close()
        if self._watch:
            self._watch.cancel()
        self._watch = self.loop.call_later(self.parting, self.transport.abort)

    def shutdown(self) -> None:
        super().shutdown()
        if self._watch:
            self._watch.cancel()
        self._watch = self.loop.call_later(self.parting, self._part)

    def _part(self) -> None:
        if self._reading or self.transport.is_closing():
            self.transport.abort()
        else:  # the server waits for its answer
            self._watch = self.loop.call_later(self.parting, self._part)

    def _look(self) -> None:
        """Check whether the current request, the end of the connection, or the next request takes too long.

        Go's client keeps an unused connection, which lost a race, among its idle ones: it has the same time limit.
        """
        now = self.loop.time()
        idle_until = self.idle_since + self.timeout_keep_alive
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
            return
        due = min(now + self.seconds, idle_until) if self._since is None else self._since + self.seconds
        self._watch = self.loop.call_at(due, self._look)

    def _refuse(self, code: int, message: str) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        self._drop_body()
        if cycle is not None and not cycle.response_complete:  # the reader of the body stops now
            cycle.disconnected, cycle.body = True, bytearray()
            cycle.message_event.set()
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()
            return
        body = error_body(code, message)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[code] + head + body)
        self._close()
