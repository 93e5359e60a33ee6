"""A transport where the head of an answer waits for its body: both are one TLS record then, and one system call.

uvicorn writes an answer's head and body apart. A head whose body does not follow at once (a HEAD request, a stream) is
sent in the event loop's next turn. Everything else is the real transport's work.
"""

from asyncio import AbstractEventLoop, Transport
from typing import Any


class HeadWaits:
    """A transport, as far as uvicorn's protocol uses one."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport = transport
        self._write = transport.write
        self._call_soon = loop.call_soon
        self._head = b""
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write; a head of a final answer is kept for now."""
        if self._head:
            head, self._head = self._head, b""
            self._write(head + data)
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
            self._call_soon(self._send_head)
        else:
            self._write(data)

    def close(self) -> None:
        """Close once all is written."""
        self._send_head()
        self._transport.close()

    def _send_head(self) -> None:
        head, self._head = self._head, b""
        if head and not self.is_closing():
            self._write(head)
