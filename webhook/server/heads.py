"""The heads of requests that come again and again, so that each is parsed once for each connection.

An API server's reviews differ in the number behind `Content-Length` and in nothing else before their bodies. A head
that uvicorn's parser took is known from then on, by its text on both sides of that number; what is not just like a
known one is the parser's.
"""

from collections.abc import Callable, Mapping
from typing import Any

AtOnce = Callable[[bytes], bytes | None]
"""Makes the JSON of a 200 out of a request's body without waiting; None, and nothing has happened, where it cannot."""

LONGEST_BODY = 99_999
"""Bytes of a body that is answered at once, as many as five digits say; recorded reviews have 4 to 12 KB."""

_LONGEST_HEAD = 2048
_MOST = 8
"""Heads of one connection: an API server sends one for each webhook."""

_DIGITS = len(str(LONGEST_BODY))

_END = b"\r\n\r\n"
_LENGTH = b"\r\nContent-Length: "
"""As Go writes it; with other capitals no head is known."""

_PARSED = frozenset({b"transfer-encoding", b"connection", b"upgrade", b"expect", b"trailer", b"te"})
"""Headers that decide how a request is read or a connection goes on."""


class Heads:
    """The known heads of one connection, each with what answers its requests."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: list[tuple[bytes, bytes, AtOnce]] = []

    def find(self, data: bytes) -> tuple[AtOnce, int, int] | None:
        """What answers the request that `data` begins with, and where its body begins and ends; None if not known."""
        for before, after, answer in self._known:
            if data.startswith(before):
                start = len(before)
                end = data.find(b"\r", start, start + _DIGITS + 1)
                length = data[start:end]
                if length.isdigit() and data.startswith(after, end):
                    body = end + len(after)
                    return answer, body, body + int(length)
        return None

    def learn(self, data: bytes, scope: Mapping[str, Any], answer: AtOnce) -> None:
        """Know the head of the request that `data` began with and that was parsed as this ASGI scope."""
        head, found, body = data.partition(_END)
        if not found or len(head) > _LONGEST_HEAD or len(self._known) == _MOST:
            return
        before, name, after = head.partition(_LENGTH)
        length, line_end, rest = after.partition(b"\r\n")
        names = [name for name, _ in scope["headers"]]
        plain = scope["http_version"] == "1.1" and _PARSED.isdisjoint(names) and names.count(b"content-length") == 1
        whole = head.count(b"\r\n") == head.count(b"\n") == len(names)  # each line of the text is a header
        counted = length.isdigit() and len(length) <= _DIGITS
        if plain and whole and counted and len(body) <= int(length):  # nothing of a second request
            self._known.append((before + name, line_end + rest + _END, answer))
