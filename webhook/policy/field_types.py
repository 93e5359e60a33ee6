"""The JSON types of the fields of a resource that decisions on pods read. A value of another type decides nothing.

The API server refuses such a value if the operator's definition has a schema. Some definitions have none, and no API
server has checked files. vmguard never reads a wrong type as unset: the intended setting could change the user of a
pod.

Which fields are read follows from the projection. The types of the fields of a securityContext are in the table of
these fields, and all others are in this file. Source: definitions of operator v0.42 to v0.74. Pure.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import msgspec

from webhook.policy.components import COMPONENTS
from webhook.policy.conditions import EACH, paths_of
from webhook.policy.context_fields import FIELDS
from webhook.policy.projection import TREES, WRITTEN_TREES, Tree

JsonType = Literal["boolean", "integer", "string", "object", "array"]

MOST = 5
"""Most wrong types of one resource that are named."""

_MOST_COMPARED = 1000
"""Most wrong types of one resource that are compared with those before an update."""

_INDEX = re.compile(r"\[\d+\]")

_CONTEXT = "securityContext"

_CONDITIONS = (condition for component in COMPONENTS for condition in (component.api, component.enabled))

LEAVES: dict[str, JsonType] = {
    _CONTEXT: "object",
    "annotations": "object",
    "disableAutomountServiceAccountToken": "boolean",
    "mountPath": "string",
    "name": "string",
    "podSecurityPolicyName": "string",
    "serviceAccountName": "string",
    "useStrictSecurity": "boolean",
    **{path[-1]: "boolean" for path in paths_of(_CONDITIONS)},
}
"""The types of the fields that are read whole, by name; those that a component's conditions read are booleans."""


def _context() -> dict[str, Any]:
    """The table of security context fields as a schema; `capabilities/add` is a member of an object."""
    schema: dict[str, Any] = {}
    for row in FIELDS:
        field, _, member = row.name.partition("/")
        if member:
            schema.setdefault(field, {})[member] = row.types
        else:
            schema[field] = row.types
    return schema


CONTEXT = _context()
"""The types of the fields of a securityContext."""


class WrongType(msgspec.Struct, frozen=True):
    """A field with a value of the wrong JSON type; an example of `path` is `spec.vmselect.runAsUser`."""

    path: str
    found: str
    expected: JsonType

    def __str__(self) -> str:
        return f"{self.path} is {_with_article(self.found)} but must be {_with_article(self.expected)}"


def wrong_types(kind: str, spec: dict[str, Any]) -> tuple[WrongType, ...]:
    """The first fields of a resource's spec, among those that decisions on its pods read, that have a wrong type."""
    return tuple(islice(_of_tree(TREES.get(kind, {}), spec, "spec"), MOST))


def written_wrong_types(kind: str, spec: dict[str, Any]) -> tuple[WrongType, ...]:
    """The same of a resource that a person writes: in a parent, all that decides about the pods of its children too.

    The decision on such a pod reads these fields in the child.
    """
    return tuple(islice(_written(kind, spec), MOST))


def new_wrong_types(kind: str, spec: dict[str, Any], old: dict[str, Any]) -> tuple[WrongType, ...]:
    """Those that an update brings. An element of a list may have moved, so equal ones are counted, whatever the index.

    Of a resource with too many to compare, the first.
    """
    now = tuple(islice(_written(kind, spec), _MOST_COMPARED + 1))
    if len(now) > _MOST_COMPARED:
        return now[:MOST]
    had = Counter(map(_anywhere, islice(_written(kind, old), _MOST_COMPARED)))
    new: list[WrongType] = []
    for each in now:
        had[_anywhere(each)] -= 1
        if had[_anywhere(each)] < 0:
            new.append(each)
    return tuple(new[:MOST])


def _written(kind: str, spec: dict[str, Any]) -> Iterator[WrongType]:
    return _of_tree(WRITTEN_TREES.get(kind, {}), spec, "spec")


def _anywhere(wrong: WrongType) -> tuple[str, str]:
    return _INDEX.sub("[]", wrong.path), wrong.found


def _of_tree(tree: Tree, value: dict[str, Any], path: str) -> Iterator[WrongType]:
    for field, inner in tree.items():
        found = value.get(field)
        if found is None:
            continue
        place = f"{path}.{field}"
        if inner is None:
            yield from _of_schema(CONTEXT if field == _CONTEXT else LEAVES[field], found, place)
        elif EACH in inner:
            if not isinstance(found, list):
                yield WrongType(place, type_of(found), "array")
                continue
            element = inner[EACH]
            for index, each in enumerate(found):
                if not _fits(element, each):
                    yield from _of_object(element, each, f"{place}[{index}]")
        else:
            yield from _of_object(inner, found, place)


def _fits(tree: Tree, value: Any) -> bool:
    """Whether a value is an object with fields of the right types, by a quick check.

    A list may have a hundred thousand elements, and all other requests wait for this check.
    """
    if type(value) is not dict:
        return False
    for field, inner in tree.items():
        found = value.get(field)
        whole = inner is None and field != _CONTEXT
        if found is not None and not (whole and _TYPES.get(type(found)) == LEAVES[field]):
            return False
    return True


def _of_object(tree: Tree, value: Any, path: str) -> Iterator[WrongType]:
    if isinstance(value, dict):
        yield from _of_tree(tree, value, path)
    else:
        yield WrongType(path, type_of(value), "object")


def _of_schema(schema: Any, value: Any, path: str) -> Iterator[WrongType]:
    expected: JsonType = schema if isinstance(schema, str) else "array" if EACH in schema else "object"  # type: ignore[assignment]
    if type_of(value) != expected:
        yield WrongType(path, type_of(value), expected)
    elif expected == "array" and not isinstance(schema, str):
        for index, each in enumerate(value):
            yield from _of_schema(schema[EACH], each, f"{path}[{index}]")
    elif expected == "object" and not isinstance(schema, str):
        for field, inner in schema.items():
            if value.get(field) is not None:
                yield from _of_schema(inner, value[field], f"{path}.{field}")


def type_of(value: Any) -> str:
    """The JSON type of a value; a number with a fraction is a `number`."""
    return _TYPES.get(type(value), "number")


_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    str: "string",
    dict: "object",
    list: "array",
    type(None): "null",
}


def _with_article(json_type: str) -> str:
    return json_type if json_type == "null" else f"{'an' if json_type[0] in 'aio' else 'a'} {json_type}"
