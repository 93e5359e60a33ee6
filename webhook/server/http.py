"""The parts that all listeners share: responses as ASGI messages, bounded reading of bodies, and errors as JSON.

An error's body has the fields of a Kubernetes Status. The API server shows the message to the user of the request.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Literal

import msgspec

from webhook.text import one_line

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"

_LONGEST_MESSAGE = 2000
"""Most characters of an error."""

_MOST_DIGITS = 20
"""Most digits of a Content-Length: those of the largest number that llhttp takes, which has 64 bits."""

_REASONS = {
    400: "BadRequest",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "Timeout",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    431: "RequestHeaderFieldsTooLarge",
    500: "InternalError",
    503: "ServiceUnavailable",
}


class HTTPError(Exception):
    """A request that cannot be served: `code` is the HTTP status, the text is for the person who sent it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Disconnected(Exception):  # noqa: N818 - an event, and no error of the client or of vmguard
    """The client went away before its request was complete."""


class ErrorStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The body of an error, with the fields of a Kubernetes Status."""

    kind: Literal["Status"]
    api_version: Literal["v1"]
    status: Literal["Failure"]
    message: str
    reason: str
    code: int


def error_body(code: int, message: str) -> bytes:
    """The body of an error. The message is one line of bounded length, also if it repeats a part of the request."""
    line = one_line(message, _LONGEST_MESSAGE)
    return msgspec.json.encode(ErrorStatus("Status", "v1", "Failure", line, _REASONS.get(code, "Unknown"), code))


class HTTPResponse(msgspec.Struct, frozen=True):
    """One complete response; `close` makes the client end the connection, `allow` names the methods of a 405.

    `reviewed` is whether it answers a valid review. Then the connection counts as one of an API server.
    """

    code: int
    body: bytes
    content_type: bytes = JSON
    close: bool = False
    allow: bytes = b""
    reviewed: bool = False

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers except those that the server adds to every response."""
        headers = [(b"content-type", self.content_type), (b"content-length", b"%d" % len(self.body))]
        if self.close:
            headers.append((b"connection", b"close"))
        if self.allow:
            headers.append((b"allow", self.allow))
        return headers


async def respond(send: Send, response: HTTPResponse) -> None:
    """Send a response as ASGI messages."""
    await send({"type": "http.response.start", "status": response.code, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body})


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers of a request; the first of a name counts, because trailers come later."""
    return dict(scope["headers"][::-1])


def declared_length(headers: Mapping[bytes, bytes]) -> int:
    """Bytes of the body by its Content-Length, 0 without one.

    The parser (llhttp) takes any number of leading zeros, and keeps white space after the number.

    Raises:
        HTTPError: 400, it is no number of at most 20 digits.

    """
    digits = headers.get(b"content-length", b"0").strip(b" \t")
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise HTTPError(400, f"Content-Length must be a number of at most {_MOST_DIGITS} digits")
    return int(digits)


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The body of a request with these headers.

    Raises:
        HTTPError: 413, it has more than `limit` bytes, raised at the first byte too many; 400, its length is no number.
        Disconnected: the client went away.

    """
    if declared_length(headers) > limit:
        raise HTTPError(413, f"the body is larger than {limit} bytes")
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if message["type"] != "http.request":
            raise Disconnected
        if len(body) > limit:
            raise HTTPError(413, f"the body is larger than {limit} bytes")
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise HTTPError(413, f"the body is larger than {limit} bytes")
    return b"".join(parts)
