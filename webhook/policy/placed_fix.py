"""A fix at the place that counts, in the resource that a person edits. Pure.

This place is the component's part of the resource. For the child of a parent it is the zone or `zoneCommon` of the
parent, because the operator overwrites the child.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from webhook.policy.findings import Fix
from webhook.policy.json_access import Raw, joined, object_of, objects_of, within
from webhook.policy.parents import Layers
from webhook.policy.workload import Workload

_LAYER = re.compile(r"zones\[(?P<zone>.*)\]\.(?P<of_zone>\w+)\.spec|(?P<common>[\w.]+)\.spec", re.DOTALL)
_CONTEXT = "securityContext"
_UNNAMED = "A zone without a name has its index here: write the fields into that element of zones."


class EditedResource(msgspec.Struct, frozen=True):
    """The resource that a person edits: its kind, namespace and name."""

    kind: str
    namespace: str
    name: str


class PlacedFix(msgspec.Struct, frozen=True):
    """What someone can copy: comments, fields to merge into a resource as in a `Fix`, and commands that only read.

    The first of the `notes` names the resource, which is the `target`. `renames` are operations of a JSON Patch for it
    that rename volumes and their mounts.
    """

    target: EditedResource
    notes: tuple[str, ...]
    fields: Raw = {}
    commands: tuple[str, ...] = ()
    renames: tuple[Raw, ...] = ()


def all_of(fixes: Iterable[Fix | None]) -> Fix | None:
    """Several fixes for one component as one, None for none."""
    found = [each for each in fixes if each is not None]
    fields: Raw = {}
    for each in found:
        fields = joined(fields, each.fields if each.of_resource == found[0].of_resource else {})
    if not found:
        return None
    return Fix(
        fields,
        tuple(dict.fromkeys(note for each in found for note in each.notes)),
        tuple(dict.fromkeys(rename for each in found for rename in each.renames)),
        next((each.command for each in found if each.command), ""),
        found[0].of_resource,
    )


def placed(fix: Fix, workload: Workload) -> PlacedFix:
    """A fix for a component of a resource."""
    parent = workload.parentage.parent
    notes = [str(parent or workload)]
    notes += [f"set it in {parent}: the operator overwrites {workload}"] if parent else []
    notes += fix.notes
    fields = _resource_fields(fix, workload)
    notes += [_UNNAMED] if any(str(each.get("name")).isdigit() for each in _zones(fields)) else []
    notes += ["null removes the field that stands there"] if _has_null(fields) else []
    notes += [f"Rename volume {old} to {new} in volumes and volumeMounts." for old, new in fix.renames]
    renames = () if parent else tuple(each for names in fix.renames for each in _renaming(workload, *names))
    of = parent or workload
    target = EditedResource(of.kind, of.namespace, of.name)
    return PlacedFix(target, tuple(notes), fields, (fix.command,) if fix.command else (), renames)


def _zones(fields: Raw) -> list[Raw]:
    return objects_of(object_of(fields.get("spec")).get("zones"))


def _has_null(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_null, value.values() if isinstance(value, dict) else value))
    return value is None


def _resource_fields(fix: Fix, workload: Workload) -> Raw:
    """The fields of a fix as fields of the resource that someone edits: the parent's of a child, else its own."""
    layers = workload.parentage.layers
    if not fix.fields or not layers:
        return fix.fields if fix.of_resource else within(workload.component.path, fix.fields) if fix.fields else {}
    if fix.of_resource:
        return _placed(layers[0][0], workload, object_of(fix.fields.get("spec")))
    result: Raw = {}
    for field, value in fix.fields.items():
        for place, part in _split(layers, workload, field, value):
            result = joined(result, _placed(place, workload, within(workload.component.path[1:], {field: part})))
    return result


def _split(layers: Layers, workload: Workload, field: str, value: object) -> Iterator[tuple[str, object]]:
    """The places in a parent that decide about a field of a component, and what each must have."""
    parts = [(place, workload.component.part_of(spec)) for place, spec in layers]
    if field == _CONTEXT and isinstance(value, dict):  # the operator joins the contexts, field by field
        for inner, wanted in value.items():
            place = next(
                (each for each, part in parts if object_of(part.get(field)).get(inner) is not None), parts[0][0]
            )
            yield place, {inner: wanted}
        return
    yield next((place for place, part in parts if part.get(field) is not None), parts[0][0]), value


def _placed(place: str, workload: Workload, spec: Raw) -> Raw:
    """What a parent has for a child at one place, as fields of the parent."""
    found = _LAYER.fullmatch(place.removeprefix(f"{workload.parentage.parent} spec."))
    if found is None:
        return {}
    if found["common"]:
        return {"spec": within((*found["common"].split("."), "spec"), spec)}
    return {"spec": {"zones": [{"name": found["zone"], found["of_zone"]: {"spec": spec}}]}}


def _renaming(workload: Workload, old: str, new: str) -> Iterator[Raw]:
    """The operations of a JSON Patch that rename a volume of a component and its mounts in the resource."""
    component = workload.component
    part = component.part_of(workload.spec)
    settings = (each.settings for each in component.beside if each.settings)
    paths: list[tuple[str | int, ...]] = [(), *dict.fromkeys(settings)]
    for group in ("containers", "initContainers"):
        paths += [(group, index) for index in range(len(part.get(group) or ()))]
    lists: list[tuple[tuple[str | int, ...], object]] = [
        ((*path, "volumeMounts"), object_of(_at(part, path)).get("volumeMounts")) for path in paths
    ]
    for path, elements in [(("volumes",), part.get("volumes")), *lists]:
        for index, each in enumerate(elements if isinstance(elements, list) else ()):
            if object_of(each).get("name") == old:
                pointer = "/".join(map(str, ("", *component.path, *path, index, "name")))
                yield {"op": "test", "path": pointer, "value": old}
                yield {"op": "replace", "path": pointer, "value": new}


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for each in path:
        if isinstance(each, int):
            value = value[each] if isinstance(value, list) else None
        else:
            value = object_of(value).get(each)
    return value
