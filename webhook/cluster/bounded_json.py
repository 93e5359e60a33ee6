"""JSON from the API server into structs, however deeply it is nested.

The API server takes objects of some 10,000 levels, and the decoder gives up at its interpreter's limit, after 990 in
Python 3.11. One such object must not hide the others of its list. Decisions read nothing so deep, so what is deeper
than `DEEPEST` is then read as null.
"""

import asyncio
import re
from typing import TypeVar

import msgspec

DEEPEST = 100
"""Levels that are read in any case; the fields that decisions read are less than 20 deep, in a list too."""

_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[{\]}]', re.DOTALL)

T = TypeVar("T")


async def decoded(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """What a body says.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it cannot be read.

    """
    try:
        return decoder.decode(body)
    except RecursionError:
        return decoder.decode(await asyncio.to_thread(shallow, bytes(body)))


def shallow(body: bytes) -> bytes:
    """JSON with null for each object and array that is more than `DEEPEST` levels deep."""
    parts, depth, begin = [], 0, 0
    for token in _STRING_OR_BRACKET.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            if depth == DEEPEST + 1:
                parts.append(body[begin : token.start()])
        elif first in b"]}":
            if depth == DEEPEST + 1:
                parts.append(b"null")
                begin = token.end()
            depth -= 1
    if depth <= DEEPEST:
        parts.append(body[begin:])
    return b"".join(parts)
