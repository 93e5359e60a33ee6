"""Reads raw JSON for the package policy: a value of another type than object, list or text counts as absent."""

from collections.abc import Iterable, Sequence
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


def within(path: Sequence[str], fields: Raw) -> Raw:
    """Fields inside nested objects: `within(("a", "b"), fields)` is `{"a": {"b": fields}}`."""
    for field in reversed(path):
        fields = {field: fields}
    return fields


def joined(first: Raw, second: Raw) -> Raw:
    """Two objects as one: objects at the same place are joined, and so are elements of two lists of named objects.

    Of any other value at the same place the second one counts, also null.
    """
    result = dict(first)
    for field, value in second.items():
        there = result.get(field)
        if isinstance(there, dict) and isinstance(value, dict):
            result[field] = joined(there, value)
        elif isinstance(there, list) and isinstance(value, list) and all(map(_is_named, (*there, *value))):
            by_name = {each["name"]: each for each in there}
            for each in value:
                by_name[each["name"]] = joined(by_name.get(each["name"], {}), each)
            result[field] = list(by_name.values())
        else:
            result[field] = value
    return result


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value


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
