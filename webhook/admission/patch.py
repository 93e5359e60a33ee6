"""JSON Patch (RFC 6902), built by hand: minimal operations that must apply.

Parents come before children, array removals go from the highest index down, and there is no `test` operation: the API
server applies the patch to the very object it sent. Nothing here knows what an edit is for.
"""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any, Literal

import msgspec


class Edit(msgspec.Struct, frozen=True):
    """One leaf to add or one array element to remove, as a decision sees it.

    `path` is a JSON pointer. `within` is the pointer of the outermost parent that is absent or empty, "" when the
    leaf's parent is there; its members must need no escaping.
    """

    op: Literal["add", "remove"]
    path: str
    value: Any = None
    within: str = ""


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation as it goes over the wire; a removal has no value."""

    op: Literal["add", "remove"]
    path: str
    value: Any = None


_encode = msgspec.json.Encoder().encode


def encoded(operations: tuple[Operation, ...]) -> str:
    """The operations as `response.patch` carries them: base64 of a JSON array; "" for none."""
    return b64encode(_encode(operations)).decode() if operations else ""


def build(edits: Iterable[Edit]) -> tuple[Operation, ...]:
    """The operations for edits, in their order; leaves below one missing parent are added together, as one object.

    An empty object that is there is added over, which replaces nothing: that saves an operation for every further leaf.
    """
    operations: list[Operation] = []
    objects: dict[str, dict[str, Any]] = {}
    for edit in edits:
        within = edit.within
        if not within:
            operations.append(Operation(edit.op, edit.path, edit.value))
            continue
        target = objects.get(within)
        if target is None:
            target = objects[within] = {}
            operations.append(Operation("add", within, target))
        leaf = edit.path[len(within) + 1 :]
        while "/" in leaf:
            parent, _, leaf = leaf.partition("/")
            target = target.setdefault(parent, {})
        target[leaf] = edit.value
    return tuple(operations)
