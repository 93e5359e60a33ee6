"""Commands that make the change of a fix in the cluster. Pure.

A fix without lists of objects is a merge patch: it says what it changes, and nothing else. A merge patch would replace
a whole list, with values that an audit does not read, such as those of environment variables. So any other fix is a
JSON Patch. It names an element by its index, and tests that the element at the index still has its name. It tests that
an object or a list that it brings whole is not there yet, by null, as API servers do (not in RFC 6902). A new element
comes before the last one, after a test that the last one is still there: a second run finds the new element in that
place. So the API server refuses a command that comes too late or twice, and changes nothing.
"""

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from webhook.policy.custom_resources import BY_KIND, GROUP
from webhook.policy.json_access import Raw, object_of
from webhook.policy.placed_fix import EditedResource, PlacedFix
from webhook.text import printable

ResourceOf = Callable[[EditedResource], Raw | None]
"""From a resource to the raw object as far as an audit reads it, None for an unknown one."""

_KEYS = ("name", "containerPort")
"""The fields that identify an element of most lists of objects, the best first."""


class _NoSuchElementError(Exception):
    """A fix is for an element that has no name."""


def patch_command(fix: PlacedFix | None, resource_of: ResourceOf) -> str:
    """The command of a fix, "" where only a person can write it, or where the resource is not known."""
    if fix is None or not (fix.fields or fix.renames) or fix.target.kind not in BY_KIND:
        return ""
    if not fix.renames and not _has_objects(fix.fields):
        return _command(fix.target, "merge", fix.fields)
    resource = resource_of(fix.target)
    if resource is None:
        return ""
    try:
        operations = [*_operations(resource, fix.fields, ""), *fix.renames]
    except _NoSuchElementError:
        return ""
    return _command(fix.target, "json", operations)


def _command(target: EditedResource, form: str, patch: Any) -> str:
    what = f"{BY_KIND[target.kind].plural}.{GROUP}"
    words = ("kubectl", "-n", target.namespace, "patch", what, target.name, "--type", form, "-p")
    return printable(shlex.join((*words, json.dumps(patch, separators=(",", ":")))))


def _has_objects(value: Any) -> bool:
    """Whether there is a list of objects in a value."""
    if isinstance(value, dict):
        return any(map(_has_objects, value.values()))
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _operations(base: Raw, fields: Raw, at: str) -> Iterator[Raw]:
    """The operations that bring fields into the object at a JSON pointer, where `base` is."""
    for field, value in fields.items():
        path, there = f"{at}/{_token(field)}", base.get(field)
        if value is None:
            if field in base:
                yield {"op": "remove", "path": path}
        elif isinstance(value, dict) and isinstance(there, dict):
            yield from _operations(there, value, path)
        elif isinstance(there, list) and (key := _key_of(value)):
            elements = list(there)
            for each in value:
                yield from _into_list(elements, each, key, path)
        else:
            if isinstance(value, dict | list):
                yield {"op": "test", "path": path, "value": there}
            yield {"op": "add", "path": path, "value": _without_nulls(value)}


def _into_list(there: list[Any], wanted: Raw, key: str, path: str) -> Iterator[Raw]:
    """The operations that bring an element into a list at a JSON pointer; a new element is added to `there` too."""
    name = wanted[key]
    index = next((n for n, each in enumerate(there) if object_of(each).get(key) == name), None)
    if index is not None:
        inner = list(_operations(there[index], wanted, f"{path}/{index}"))
        changes = [each for each in inner if each != {"op": "add", "path": f"{path}/{index}/{key}", "value": name}]
        if changes:
            yield {"op": "test", "path": f"{path}/{index}/{key}", "value": name}
            yield from changes
    elif path == "/spec/zones":
        raise _NoSuchElementError
    else:
        last = len(there) - 1
        if there:
            yield {"op": "test", "path": f"{path}/{last}/{key}", "value": object_of(there[last]).get(key)}
        else:
            yield {"op": "test", "path": path, "value": []}
        yield {"op": "add", "path": f"{path}/{max(last, 0)}", "value": _without_nulls(wanted)}
        there.insert(last, wanted)


def _key_of(value: Any) -> str:
    """The field that identifies the elements of a list of objects, "" for a list that is replaced as a whole."""
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        return ""
    if any("mountPath" in each for each in value):
        return "mountPath"
    key = next((each for each in _KEYS if all(each in element for element in value)), "")
    return "" if any("value" in each for each in value) else key


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {field: _without_nulls(each) for field, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
