"""Conditions on fields of a resource, as data.

The component table has conditions instead of functions, so people and code can read, compare and check a row. One
function, `holds`, evaluates them. A field of the wrong type counts as absent.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from webhook.policy.json_access import Raw, object_of

Path = tuple[str, ...]
"""Names of nested fields, from the outside in; EACH means every element of a list."""

EACH = "[]"


class When(msgspec.Struct, frozen=True):
    """The field has this value."""

    path: Path
    equals: bool = True


class Unless(msgspec.Struct, frozen=True):
    """The field has another value, or is absent."""

    path: Path
    equals: bool = True


class Present(msgspec.Struct, frozen=True):
    """The field is an object."""

    path: Path


Condition = bool | When | Unless | Present
"""True and False hold always and never."""


def holds(condition: Condition, part: Raw) -> bool:
    """Whether the condition holds for one part of a resource's spec."""
    if isinstance(condition, bool):
        return condition
    value = value_at(part, condition.path)
    if isinstance(condition, Present):
        return isinstance(value, dict)
    return (value is condition.equals) == isinstance(condition, When)


def paths_of(conditions: Iterable[Condition]) -> tuple[Path, ...]:
    """The fields that conditions read."""
    return tuple(condition.path for condition in conditions if not isinstance(condition, bool))


def value_at(part: Any, path: Path) -> Any:
    """The value at a path, None if there is none."""
    for field in path:
        part = object_of(part).get(field)
    return part


def text_at(part: Any, path: Path) -> str:
    """The text at a path, "" for anything else."""
    value = value_at(part, path)
    return value if isinstance(value, str) else ""
