"""The JSON types of the fields that only predictions of pods read.

The decision on a pod reads none of these fields, so a wrong type of one denies nothing. But the API server refuses the
resource, or the operator does where the definition has no schema. Source: definitions of operator v0.42 to v0.76. Pure;
takes time in proportion to the number of components.
"""

from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

from webhook.facts import Ref
from webhook.policy.components import BY_KIND, PARENTS, Component, Data
from webhook.policy.conditions import Path, Present, text_at, value_at
from webhook.policy.field_types import JsonType, WrongType, type_of
from webhook.policy.json_access import Raw, object_of
from webhook.policy.parents import made_children
from webhook.policy.preview.predicted_pod import ACCEPTS, CONFIGURED_PORTS, PORTS, PROBES
from webhook.text import one_line

_LONGEST = 60

_OF_ALL: dict[Path, JsonType] = {
    ("extraArgs",): "object",
    ("extraEnvs",): "array",
    ("hostNetwork",): "boolean",
    ("image",): "object",
    ("port",): "string",
    ("podMetadata",): "object",
    ("podMetadata", "labels"): "object",
    ("syslogSpec",): "object",
    ("syslogSpec", "tcpListeners"): "array",
    ("syslogSpec", "udpListeners"): "array",
    **{(probe,): "object" for probe in PROBES},
    **dict.fromkeys((*(path for _, path in PORTS), *CONFIGURED_PORTS), "string"),
}
"""The fields of every component's part."""

_OF_CONTAINER: dict[Path, JsonType] = {
    **dict.fromkeys([("args",), ("command",), ("env",), ("ports",), ("volumeMounts",)], "array"),
    **dict.fromkeys([("image",), ("name",)], "string"),
}
"""The fields of an element of containers and initContainers."""

_LISTS_OF_OBJECTS = frozenset({"env", "ports", "volumeMounts"})

_TEXTS: tuple[Path, ...] = (("podMetadata", "annotations"), ("podMetadata", "labels"), ("extraArgs",))
"""Objects of a component's part whose values are texts."""

_MOST_ELEMENTS = 100
"""Containers, volumes and elements of their lists that are looked at."""

_REFUSED = "so the API server or the operator refuses it"


def wrongly_predicted(ref: Ref, spec: Raw, most_zones: int) -> Iterator[str]:
    """A sentence for each field of a resource with a wrong type, in the first zones if it is a parent."""
    yield from (_refused(each) for each in _in_kind(ref.kind, spec, "spec"))
    if wrong := _wrong(spec, ("license",), "object", "spec"):
        yield _refused(wrong)
    known: set[str] = set()
    for kind, child in PARENTS.get(ref.kind, {}).items():
        own = object_of(spec.get(child.field))
        if child.shared and (wrong := _wrong(own, ("enabled",), "boolean", f"spec.{child.field}")):
            yield _refused(wrong)
        for _, layers in made_children(ref, spec, kind, most_zones):
            for place, child_spec in layers:
                if place not in known:
                    known.add(place)
                    yield from (_refused(each) for each in _in_kind(kind, child_spec, place.removeprefix(f"{ref} ")))
    backends = [child.kind for child in PARENTS.get(ref.kind, {}).values() if child.backend]
    backend = spec.get("backendType")
    if backends and backend not in (*backends, None):
        shown = one_line(repr(backend), _LONGEST)
        yield f"spec.backendType is {shown} but must be {' or '.join(backends)}, {_REFUSED}"


def _refused(wrong: WrongType) -> str:
    how = ""
    if wrong.expected == "boolean" and wrong.found == "string":
        how = ": write true or false without quotes"
    elif wrong.expected == "string" and wrong.found in {"integer", "number", "boolean"}:
        how = ": write it in quotes"
    return f"{wrong}, {_REFUSED}{how}"


def _in_kind(kind: str, spec: Raw, place: str) -> Iterator[WrongType]:
    for component in BY_KIND.get(kind, ()):
        part, own = component.part_of(spec), ".".join((place, *component.path[1:]))
        for path, expected in _types(component).items():
            if wrong := _wrong(part, path, expected, own):
                yield wrong
        yield from _in_texts(component, part, own)
        for group in ("containers", "initContainers"):
            for element, each in _elements(part.get(group), f"{own}.{group}"):
                yield from _in_container(each, element)
                yield from _in_variables(each.get("env"), f"{element}.env")
        yield from _in_variables(part.get("extraEnvs"), f"{own}.extraEnvs")
        for element, each in _elements(part.get("volumes"), f"{own}.volumes"):
            for field in each:
                if wrong := _wrong(each, (field,), "string" if field == "name" else "object", element):
                    yield wrong


def _in_texts(component: Component, part: Raw, place: str) -> Iterator[WrongType]:
    settings = dict.fromkeys((*each.settings, "extraArgs") for each in component.beside if each.settings)
    arguments = dict.fromkeys(each.arguments for each in component.beside if each.arguments)
    for path in (*_TEXTS, *settings, *arguments):
        for name, value in islice(object_of(value_at(part, path)).items(), _MOST_ELEMENTS):
            if not isinstance(value, str | None):
                field = ".".join((place, *path))
                yield WrongType(f"{field}[{one_line(name, _LONGEST)}]", type_of(value), "string")


def _in_variables(listed: Any, place: str) -> Iterator[WrongType]:
    for element, each in _elements(listed, place):
        if wrong := _wrong(each, ("value",), "string", element):
            yield wrong


def _in_container(container: Raw, place: str) -> Iterator[WrongType]:
    for path, expected in _OF_CONTAINER.items():
        if wrong := _wrong(container, path, expected, place):
            yield wrong
        (field,) = path
        if field in _LISTS_OF_OBJECTS and isinstance(listed := container.get(field), list):
            for index, each in enumerate(listed[:_MOST_ELEMENTS]):
                if not isinstance(each, dict):
                    yield WrongType(f"{place}.{field}[{index}]", type_of(each), "object")


def _elements(listed: Any, place: str) -> Iterator[tuple[str, Raw]]:
    """The objects of a list, each with its place."""
    for index, each in enumerate(listed[:_MOST_ELEMENTS] if isinstance(listed, list) else ()):
        if isinstance(each, dict):
            yield f"{place}[{one_line(text_at(each, ('name',)), _LONGEST) or index}]", each


def _wrong(part: Raw, path: Path, expected: JsonType, place: str) -> WrongType | None:
    value: Any = value_at(part, path)
    found = type_of(value)
    return None if value is None or found == expected else WrongType(".".join((place, *path)), found, expected)


@cache
def _types(component: Component) -> dict[Path, JsonType]:
    """The types of the fields of a component's part, the outer fields before the inner ones."""
    types = dict(_OF_ALL)
    for condition in (*component.controllers, *(each.when for each in component.beside)):
        if not isinstance(condition, bool):
            types[condition.path] = "object" if isinstance(condition, Present) else "boolean"
    for row in component.beside:
        if row.arguments:
            types[row.arguments] = "object"
        if row.settings:
            types |= {row.settings: "object", (*row.settings, ACCEPTS): "boolean"}
            for _, path in row.flags:
                types[(*row.settings, *path)] = "string"
    if isinstance(data := component.writes, Data):
        for path in data.claims:
            types[path] = "object"
        for path in (*data.moves_mount, *data.moves_flag):
            types[path] = "string"
    outer: dict[Path, JsonType] = {path[:length]: "object" for path in types for length in range(1, len(path))}
    return outer | types
