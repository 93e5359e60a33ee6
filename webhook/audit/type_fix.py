"""Fixes for fields of the wrong JSON type: the value as it is meant, where its text leaves no doubt. Pure."""

import re
from typing import Any

from webhook.policy.field_types import WrongType, written_wrong_types
from webhook.policy.findings import Fix
from webhook.policy.json_access import Raw, object_of
from webhook.policy.placed_fix import all_of

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_BOOLEANS = {"true": True, "false": False}


def type_fix(resource: Raw) -> Fix | None:
    """The fix for all fields of a resource that have the wrong type, None where none has."""
    found = written_wrong_types(str(resource.get("kind")), object_of(resource.get("spec")))
    return all_of(_of_field(resource, each) for each in found)


def _of_field(resource: Raw, wrong: WrongType) -> Fix:
    steps = [each[1] or int(each[2]) for each in _STEP.finditer(wrong.path)]
    values = [resource]
    for step in steps:
        values.append(_member(values[-1], step))
    meant = _meant(values[-1], wrong.expected)
    fields = None if meant is None else _nested(steps, values, meant)
    if fields is None:
        return Fix(notes=(f"Write <a value of type {wrong.expected}> at {wrong.path}.",), of_resource=True)
    return Fix(fields, of_resource=True)


def _meant(value: Any, wanted: str) -> bool | int | None:
    """The value that a text means, None where that is not certain."""
    if wanted == "boolean" and isinstance(value, str):
        return _BOOLEANS.get(value.lower())
    if wanted == "integer" and isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value[:10])
    return None


def _member(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and step < len(value) else None
    return object_of(value).get(step)


def _nested(steps: list[str | int], values: list[Any], meant: Any) -> Raw | None:
    """The value at its place; None where an element of a list on the way has no name."""
    result: Any = meant
    for step, value in zip(reversed(steps), reversed(values[:-1]), strict=True):
        if isinstance(step, str):
            result = {step: result}
            continue
        name = object_of(_member(value, step)).get("name")
        if not isinstance(name, str):
            return None
        result = [{"name": name, **result}]
    return result if isinstance(result, dict) else None
