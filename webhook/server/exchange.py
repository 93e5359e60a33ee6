"""A whole request and its whole answer at once, beside ASGI's messages.

ASGI's messages, and uvicorn's work on each of them, cost as much as a decision. Almost every review is whole when its
turn comes, and almost every answer is 200 with JSON on a connection that stays; for these an application may take the
body and give the answer in one call each, and for all others it receives and sends messages as ever.
"""

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from webhook.server.http import Receive


class Exchange:
    """One request and its answer."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def body(self, limit: int) -> bytes | None:
        """Take the body; None, and nothing is taken, when it is not whole yet or longer than `limit` bytes."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue or len(cycle.body) > limit:
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


def exchange_of(receive: Receive) -> Exchange | None:
    """The exchange behind ASGI's `receive`, which is a method of uvicorn's request; None of another server's."""
    cycle = getattr(receive, "__self__", None)
    return Exchange(cycle) if type(cycle) is RequestResponseCycle else None
