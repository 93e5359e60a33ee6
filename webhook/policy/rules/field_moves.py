"""Moves a misplaced field: its value to the right place, null to the wrong one. A part of `misplaced-field`."""

import re
from typing import Any

from webhook.policy.json_access import Raw, object_of, objects_of

_PART = re.compile(r"([A-Za-z]\w*)(?:\[([^\[\]]*)\])?(?:\.|$)")

ITSELF = "its fields in "


def steps_of(place: str) -> list[tuple[str, str]]:
    """The fields of a place, each with the name of the element in it, "" for none; [] for a place of another form."""
    found = list(_PART.finditer(place))
    return [(each[1], each[2] or "") for each in found] if "".join(each[0] for each in found) == place else []


def found_at(value: Any, steps: list[tuple[str, str]]) -> Any:
    for field, name in steps:
        value = object_of(value).get(field)
        if name:
            value = next((each for each in objects_of(value) if each.get("name") == name), None)
    return value


def placed_at(steps: list[tuple[str, str]], value: Any) -> Raw:
    """A value at a place, in objects and lists of named objects."""
    for field, name in reversed(steps):
        value = {field: [{"name": name, **value}] if name else value}
    result: Raw = value
    return result
