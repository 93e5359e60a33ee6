"""A command of a fix applied to a resource as an API server does it, for tests of fixes."""

import copy
import json
import shlex
from typing import Any

import jsonpatch
import jsonpointer

from webhook.policy.custom_resources import BY_KIND, GROUP


def commanded(resource: dict[str, Any], command: str) -> dict[str, Any]:
    """The resource after `kubectl patch`.

    Raises:
        jsonpatch.JsonPatchTestFailed: an element or a value is not where the command expects it.

    """
    program, _, namespace, verb, kind, name, _, form, _, patch = shlex.split(command)
    metadata = resource["metadata"]
    plural = BY_KIND[resource["kind"]].plural
    assert (program, verb, kind) == ("kubectl", "patch", f"{plural}.{GROUP}")
    assert (namespace, name) == (metadata.get("namespace", "mon"), metadata["name"])
    changed = copy.deepcopy(resource)
    if form == "merge":
        return _merged(changed, json.loads(patch))
    assert form == "json"
    for each in json.loads(patch):
        if each["op"] == "test" and each["value"] is None:
            _expect_nothing(changed, each["path"])
        else:
            changed = jsonpatch.apply_patch(changed, [each])
    return changed


def _expect_nothing(resource: dict[str, Any], path: str) -> None:
    """A test by null passes where nothing is, which RFC 6902 does not have, but API servers do."""
    if jsonpointer.resolve_pointer(resource, path, None) is not None:
        raise jsonpatch.JsonPatchTestFailed(path)


def _merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7386."""
    result = dict(base)
    for field, value in patch.items():
        if value is None:
            result.pop(field, None)
        elif isinstance(value, dict):
            there = result.get(field)
            result[field] = _merged(there if isinstance(there, dict) else {}, value)
        else:
            result[field] = value
    return result
