"""A whole request and its whole answer at once: an extension of ASGI that our connections offer.

ASGI's messages, and uvicorn's work on each of them, cost as much as a decision. Almost every review is whole when its
turn comes, and almost every answer is 200 with JSON on a connection that stays; for these an application may take the
body and give the answer in one call each, and for all others it receives and sends messages as ever.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from webhook.server.http import Scope

_NAME = "vmguard.exchange"
_NONE: dict[str, Any] = {}


class Exchange:
    """One request and its answer."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def offer(self, scope: Scope) -> None:
        """Offer it to the application."""
        scope["extensions"] = {_NAME: self}

    def body(self, limit: int) -> bytes | None:
        """Take the body; None, and nothing is taken, when it is not whole yet or longer than `limit` bytes."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or len(cycle.body) > limit:
            return None
        body = bytes(cycle.body)
        cycle.body = bytearray()
        return body

    def answer(self, body: bytes) -> bool:
        """Answer 200 with JSON; False, and nothing is sent, where it must be sent by messages."""
        cycle = self._cycle
        if cycle.disconnected or not cycle.keep_alive or cycle.flow.write_paused:
            return False
        cycle.response_started = cycle.response_complete = True
        ours = b"".join([b"%b: %b\r\n" % header for header in cycle.default_headers])
        head = b"HTTP/1.1 200 OK\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (ours, len(body))
        cycle.transport.write(head + body)
        cycle.message_event.set()
        cycle.on_response()
        return True


def exchange_of(scope: Scope) -> Exchange | None:
    """What the connection of a request offers."""
    offered: Exchange | None = scope.get("extensions", _NONE).get(_NAME)
    return offered
