"""JSON Patch (RFC 6902), built by hand: minimal operations that must apply.

Parents come before children, array removals go from the highest index down, and there is no `test` operation: the API
server applies the patch to the object that it sent. This module does not know the purpose of an edit.
"""

from base64 import b64encode
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Literal

import msgspec

_OPERATION = 32
"""Bytes of an operation without its path and value, about."""

_encode = msgspec.json.Encoder().encode


class Edit(msgspec.Struct, frozen=True):
    """One leaf to add or one array element to remove.

    `path` is a JSON pointer. `within` is the pointer of the outermost parent that is absent or empty, "" when the
    leaf's parent exists; its members must need no escaping. `whole` is an object above the leaf that has members, and
    its pointer: the patch may replace it with its members and the leaf.
    """

    op: Literal["add", "remove"]
    path: str
    value: Any = None
    within: str = ""
    whole: tuple[str, dict[str, Any]] | None = None


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation in the form of the wire; a removal has no value."""

    op: Literal["add", "remove"]
    path: str
    value: Any = None


_encode = msgspec.json.Encoder().encode


def encoded(operations: tuple[Operation, ...]) -> str:
    """The operations in the form of `response.patch`: base64 of a JSON array; "" for none."""
    return b64encode(_encode(operations)).decode() if operations else ""


def build(edits: Iterable[Edit]) -> tuple[Operation, ...]:
    """The operations for edits, in their order; leaves below one missing parent become one object.

    It replaces an existing empty object, which loses nothing and saves an operation for every further leaf. It replaces
    an object with members, with the same members, if that is shorter than an operation for each leaf.
    """
    edits = tuple(edits)
    operations: list[Operation] = []
    objects = _written_anew(edits)
    for base, target in objects.items():
        operations.append(Operation("add", base, target))
    for edit in edits:
        within = edit.whole[0] if edit.whole and edit.whole[0] in objects else edit.within
        if not within:
            operations.append(Operation(edit.op, edit.path, edit.value))
            continue
        if within not in objects:
            objects[within] = {}
            operations.append(Operation("add", within, objects[within]))
        target = objects[within]
        leaf = edit.path[len(within) + 1 :]
        while "/" in leaf:
            parent, _, leaf = leaf.partition("/")
            below = target.get(parent) or {}
            target[parent], target = below, below
        target[leaf] = edit.value
    return tuple(operations)


def _written_anew(edits: tuple[Edit, ...]) -> dict[str, dict[str, Any]]:
    """Copies of the objects with members that are shorter to write whole, by pointer."""
    leaves: dict[str, int] = {}
    for edit in edits:
        if edit.whole:
            leaves[edit.whole[0]] = leaves.get(edit.whole[0], 0) + 1
    anew: dict[str, dict[str, Any]] = {}
    for edit in edits if leaves else ():
        if edit.whole and edit.whole[0] not in anew:
            base, present = edit.whole
            if len(_encode(present)) < (leaves[base] - 1) * (len(base) + _OPERATION):
                anew[base] = deepcopy(present)
    return anew
