"""Raw JSON as the policy room reads it: what is no object, list or text where one belongs counts as absent."""

from collections.abc import Iterable
from typing import Any

Raw = dict[str, Any]


def object_of(value: Any) -> Raw:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[Raw]:
    """The objects of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def texts_of(things: Iterable[Raw], field: str) -> frozenset[str]:
    """The texts that objects have in a field."""
    return frozenset(text for thing in things if isinstance(text := thing.get(field), str))
