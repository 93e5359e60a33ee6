"""A fix pasted into a resource, as a person would do it, for tests of fixes."""

from typing import Any

import yaml

_KEYS = ("name", "mountPath", "containerPort")
"""The fields that identify the elements of a list of objects, the best first."""


def applied(resource: dict[str, Any], text: str) -> dict[str, Any]:
    """The resource with the YAML of a fix merged into it."""
    result: dict[str, Any] = _merged(resource, pasted(text))
    return result


def pasted(text: str) -> dict[str, Any]:
    """The fields in the text of a fix, {} for a text without YAML."""
    lines = text.splitlines()
    fields = yaml.safe_load("\n".join(line for line in lines if not line.startswith("kubectl "))) or {}
    assert isinstance(fields, dict), f"no YAML of a resource: {text}"
    return fields


def _merged(base: Any, patch: Any) -> Any:
    if isinstance(base, dict) and isinstance(patch, dict):
        result = {**base, **{field: _merged(base.get(field), value) for field, value in patch.items()}}
        return {field: value for field, value in result.items() if value is not None}
    if isinstance(patch, dict):
        return _merged({}, patch)
    if isinstance(patch, list) and patch and all(isinstance(each, dict) for each in patch):
        return _merged_lists(base if isinstance(base, list) else [], patch)
    return patch


def _merged_lists(base: list[Any], patch: list[dict[str, Any]]) -> list[Any]:
    key = (
        "mountPath"
        if any("mountPath" in each for each in patch)
        else next((each for each in _KEYS if all(each in element for element in patch)), None)
    )
    if key is None or (key == "name" and any("value" in each for each in patch)):
        return patch
    result = list(base)
    for each in patch:
        index = next((n for n, there in enumerate(result) if there.get(key) == each[key]), None)
        if index is None:
            result.append(_merged({}, each))
        else:
            result[index] = _merged(result[index], each)
    return result
