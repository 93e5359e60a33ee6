"""Reads raw JSON for the package policy: a value of another type than object, list or text counts as absent."""

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


def laid_over(base: Raw, patch: Raw) -> Raw:
    """The result of a strategic merge patch of an object without lists to merge; null and an empty list set nothing.

    The operator reads a patch into typed fields, which drop both, like the API server in every pod.
    """
    result = dict(base)
    for field, value in patch.items():
        if isinstance(value, dict) and isinstance(result.get(field), dict):
            result[field] = laid_over(result[field], value)
        elif value is not None and value != []:
            result[field] = value
    return result
