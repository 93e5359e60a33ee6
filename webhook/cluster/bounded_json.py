"""Decodes JSON from the API server into structs, also when it is nested very deeply.

The API server takes objects of about 10,000 levels. The decoder fails at its interpreter's limit, after 990 levels in
Python 3.11. One such object must not hide the others of its list. Decisions read no field so deep, so everything
deeper than `DEEPEST` is then read as null.
"""

import asyncio
import re
from typing import TypeVar

import msgspec

DEEPEST = 100
"""Levels that are always read; the fields that decisions read are less than 20 levels deep, also in a list."""

_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[{\]}]', re.DOTALL)

T = TypeVar("T")


async def decoded(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """The value of a body.

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
