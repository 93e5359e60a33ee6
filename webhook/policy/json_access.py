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


def laid_over(base: Raw, patch: Raw) -> Raw:
    """What a strategic merge patch makes of an object without lists to merge; null and an empty list are silence.

    The operator reads a patch into typed fields, which drop both, as the API server does of every pod.
    """
    result = dict(base)
    for field, value in patch.items():
        if isinstance(value, dict) and isinstance(result.get(field), dict):
            result[field] = laid_over(result[field], value)
        elif value is not None and value != []:
            result[field] = value
    return result
