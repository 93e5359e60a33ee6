"""The Status in the API server's answers: the reason of a failure, and whether a 404 is about an object."""

import msgspec

from webhook.text import one_line


class _Cause(msgspec.Struct):
    reason: str = ""


class _Details(msgspec.Struct):
    name: str = ""
    kind: str = ""
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


_status = msgspec.json.Decoder(_Status)


def status_of(body: bytes | msgspec.Raw) -> _Status:
    """The Status in a body; an empty one if there is none."""
    try:
        return _status.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Status()


def names_an_object(body: bytes) -> bool:
    """Whether a 404 is about an object; the 404 of an API that is not served is plain text without a name."""
    details = status_of(body).details
    return details is not None and bool(details.name)


def ends(code: int, body: bytes) -> bool:
    """Whether an object cannot be created because its namespace is being deleted or gone."""
    details = status_of(body).details or _Details()
    if code == 404:
        return details.kind == "namespaces"
    return any(cause.reason == "NamespaceTerminating" for cause in details.causes or ())


def reason(code: int, body: bytes | msgspec.Raw) -> str:
    """Why there is no object, for a person."""
    message = one_line(status_of(body).message, 300)
    return f"HTTP {code} from the API server{f': {message}' if message else ''}"
