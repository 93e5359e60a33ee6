"""misplaced-field: a field that decides about pods must stand where its kind has it, in the right case.

vmguard warns of a field that decides about security and stands elsewhere, and names the right place:

- at the root of a VMCluster, VLCluster or VTCluster: only `useStrictSecurity`; all else in each component. Fields such
  as `vmBackup` belong in the component that has them
- in a VMDistributed or VLDistributed: in the `spec` of a child, such as `zoneCommon.vmagent.spec`
- beside `spec`, or in `metadata`, `podMetadata`, `template` or `requestsLoadBalancer`
- with another name: `podSecurityContext`, `securitycontext`, `automountServiceAccountToken: false`
- a component with the name from another kind: `storage` in a VLCluster, `vtstorage` in a VTCluster
- in `securityContext`: its fields stand there themselves, not under `pod` or `container`. They stand nowhere else, and
  the fields of a component do not stand there. Fields of a pod, such as `fsGroup`, are none of a single container
- with a field of a child's kind that the parent does not have, such as `k8sCollector`: in a separate resource
- in `vmBackup`: in an element of `containers` that is named `vmbackuper`

It also warns of an unknown field of a securityContext, such as `enabled`. And it warns of a container without an image
that is no container of the operator, such as `vmalertmanager` instead of `alertmanager`. The API server refuses such a
pod.

Why: the API server drops fields that a kind does not have. So the operator makes the pods without them. `kubectl`
before 1.25 does not report a dropped field. Some parts of the definitions have no schema: securityContext, containers,
and some children of a parent. There the API server keeps every field. The operator reads a field in another case as the
right one. It ignores an unknown field, and from v0.71 it refuses the resource or stops updating its pods.

What to do: move the field to the place that the warning names. For example, in a VMCluster:

    spec:
      vmstorage:
        securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000}

A component's own securityContext takes the place of the strict one, so write all of it.

Source: definitions of operator v0.42 to v0.76.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

from webhook.policy.components import BY_KIND, PARENTS, Component, OperatorContainer
from webhook.policy.conditions import text_at, value_at
from webhook.policy.context_fields import ROWS, ROWS_BY_NAME
from webhook.policy.findings import Fix, NothingToCopy, Violation, Warn
from webhook.policy.json_access import Raw, joined, object_of, objects_of
from webhook.policy.rules.field_moves import ITSELF, found_at, placed_at, steps_of
from webhook.policy.rules.field_names import (
    CONTEXT,
    FIELDS,
    STRICT,
    TEMPLATES,
    WITHIN_CONTEXT,
    meant_field,
    named_field,
    nearest,
    plain,
    reads,
)
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import ResourceObject
from webhook.policy.rules.wanted_context import OWN_FIELDS

ID = "misplaced-field"

_MOST = 5
"""Fields of one resource that are named."""

_MOST_FIELDS = 200
"""Fields of one object that are looked at; the largest that an operator knows has about 120."""

_MOST_ELEMENTS = 20
"""Zones, and containers of a component, that are looked at."""

_GROUPS = ("containers", "initContainers")
_NONE: frozenset[str] = frozenset()
_POLICY = ("podSecurityPolicyName",)
_OF_POD_ALONE = frozenset(ROWS["pod"]) - frozenset(ROWS["container"])
"""The fields of a pod's securityContext that a container's does not have."""

_DROPPED = "the API server drops it, so it has no effect"
_IGNORED = "the operator ignores it, or refuses the resource"

_DEEP = frozenset({CONTEXT, STRICT, "disableAutomountServiceAccountToken"})
"""Fields that a component has itself, and no object in it."""

_OF_ANY_LEVEL = frozenset(name.partition("/")[0] for name in ROWS_BY_NAME)
"""The fields of a securityContext, of a pod or of a container."""

_KEPT = re.compile(r"\.(securityContext|(containers|initContainers)\[[^\[\]]*\])\.")
"""Places without a schema in the operator's definitions: the API server keeps every field there."""

_SEPARATE = "To use it, create a separate "
_WRITE = "Write "

Right = Callable[[str], str]
"""Where a field belongs, by its name."""


def check(resource: ResourceObject) -> list[Warn]:
    """A warning for each field of a resource that stands where its kind has none."""
    found = islice(_misplaced(resource.kind, resource.object), _MOST)
    misplaced = [Warn(ID, f"{place} {_what(resource, place, right)}", about=(place, right)) for place, right in found]
    return [*misplaced, *islice(_without_image(resource.kind, object_of(resource.object.get("spec"))), _MOST)]


def _what(resource: ResourceObject, place: str, right: str) -> str:
    """What is wrong with the field at a place, and what to do; `right` is "" for a field that belongs nowhere."""
    kind = resource.kind
    remedy = right if right.startswith(_SEPARATE) else f"Write {right}" if right else "Remove it"
    if not right and _opts_out(resource, place):
        remedy = f"A securityContext without a known field opts out of strict security. Remove {place}"
    if not _is_kept(kind, place):
        return f"is no field of {kind}: {_DROPPED}. {remedy}"
    if place.lower() == right.lower():
        name = right.rpartition(".")[2]
        return f"has the wrong case: the operator reads it as {name}. {remedy}"
    return f"is no field of {kind}: {_IGNORED}. {remedy}"


def _opts_out(resource: ResourceObject, place: str) -> bool:
    """Whether a field stands in a component's own context that has no known field."""
    *outer, _ = steps_of(place) or [("", "")]
    own = bool(outer) and outer[-1][0] == CONTEXT and not any(field in _GROUPS for field, _ in outer)
    return own and _OF_ANY_LEVEL.isdisjoint(object_of(found_at(resource.object, outer)))


def _is_kept(kind: str, place: str) -> bool:
    """Whether the API server keeps an unknown field at a place, because the operator's definition has no schema there.

    The definition of a parent has one for the contexts and containers of its children, and that of no other kind.
    """
    holder = place.rpartition(".")[0]
    for child in PARENTS.get(kind, {}).values():
        found = _child_spec(child.field, shared=child.shared).match(holder)
        if found:
            return child.unknown == "kept" or (child.unknown == "kept at the top" and found.end() == len(holder))
    if kind in PARENTS:
        return False
    for component in BY_KIND.get(kind, ()):
        part = ".".join(component.path)
        within = holder == part or holder.startswith(f"{part}.")
        if within and (component.unknown == "kept" or (component.unknown != "dropped" and holder == part)):
            return True
    return _KEPT.search(place) is not None


@cache
def _child_spec(field: str, *, shared: bool) -> re.Pattern[str]:
    """The place of a child's spec in a parent."""
    holder = "" if shared else r"(zones\[[^\]]*\]|zoneCommon)\."
    return re.compile(rf"spec\.{holder}{field}\.spec(?=\.|$)")


def _misplaced(kind: str, resource: Raw) -> Iterator[tuple[str, str]]:
    """Places of fields, and where they belong."""
    spec = object_of(resource.get("spec"))
    root = _right_at_root(kind, spec)
    yield from _in(resource, "", _NONE, root)
    yield from _misspelt(resource, "", ("spec",))
    yield from _misspelt(spec, "spec.", _POLICY) if kind not in PARENTS else ()
    yield from _in(object_of(resource.get("metadata")), "metadata.", _NONE, root)
    if kind in PARENTS:
        yield from _in_parent(kind, spec)
    else:
        yield from _in_spec(kind, spec, "spec")


def _right_at_root(kind: str, spec: Raw, place: str = "spec") -> Right:
    """Where fields of a kind belong that stand at its root."""

    def right(field: str) -> str:
        if kind in PARENTS:
            return f"{place}.zoneCommon.{next(iter(PARENTS[kind].values())).field}.spec.{field}, or in another child"
        parts = _parts(kind)
        if field == STRICT or not parts:
            return f"{place}.{field}"
        present = [each for each in parts if isinstance(value_at(spec, each.path[1:]), dict)] or list(parts)
        return " and ".join(".".join((place, *each.path[1:], field)) for each in present)

    return right


def _parts(kind: str) -> tuple[Component, ...]:
    """The components of a kind that have parts of their own."""
    return tuple(each for each in BY_KIND.get(kind, ()) if len(each.path) > 1)


def _part_fields(kind: str) -> tuple[str, ...]:
    """The fields of a kind's spec that hold these parts."""
    return tuple(dict.fromkeys(each.path[1] for each in _parts(kind)))


def _in_spec(kind: str, spec: Raw, place: str) -> Iterator[tuple[str, str]]:
    """Of the spec of a kind that makes pods."""
    parts = _parts(kind)
    if not parts:
        for component in BY_KIND.get(kind, ()):
            yield from _in_part(component, spec, place)
        return
    if not any(each.without_part for each in parts):  # otherwise fields of the root may apply to all components
        yield from _in(spec, f"{place}.", frozenset({STRICT}), _right_at_root(kind, spec, place))
    yield from _misspelt(spec, f"{place}.", _part_fields(kind))
    homes = _homes(kind)
    yield from (
        (f"{place}.{field}", " and ".join(f"{place}.{each}" for each in homes[plain(field)]))
        for field, value in _first(spec)
        if value is not None and plain(field) in homes
    )
    others = {field: value for field, value in _first(spec) if plain(field) not in homes}
    yield from _in_objects(others, f"{place}.", _part_fields(kind), _right_at_root(kind, spec, place))
    for component in parts:
        *outer, _ = component.path[1:]
        if outer:
            own = ".".join((place, *component.path[1:]))
            holder = object_of(value_at(spec, tuple(outer)))
            yield from _in(holder, ".".join((place, *outer, "")), _NONE, _within(own))
        yield from _in_part(component, component.part_of(spec), ".".join((place, *component.path[1:])))


@cache
def _homes(kind: str) -> dict[str, tuple[str, ...]]:
    """The fields that some components of a cluster have, such as `vmBackup`, in small letters, and their places."""
    found: dict[str, dict[str, None]] = {}
    for component in _parts(kind):
        for field, *_ in component.fields:
            if not nearest(field, _part_fields(kind)):
                found.setdefault(plain(field), {})[".".join((*component.path[1:], field))] = None
    return {field: tuple(places) for field, places in found.items()}


def _in_part(component: Component, part: Raw, place: str) -> Iterator[tuple[str, str]]:
    """Of a component's own part."""
    right = _within(place)
    yield from _in(part, f"{place}.", frozenset(FIELDS), right)
    of_containers = (each.settings[0] for each in component.beside if each.settings)
    yield from _in_objects(part, f"{place}.", (CONTEXT, "podMetadata", *of_containers), right)
    yield from _in(object_of(part.get("podMetadata")), f"{place}.podMetadata.", _NONE, right)
    for name in TEMPLATES:
        template = object_of(part.get(name))
        yield from _in(template, f"{place}.{name}.", _NONE, right)
        yield from _in(object_of(template.get("spec")), f"{place}.{name}.spec.", _NONE, right)
    context = object_of(part.get(CONTEXT))
    yield from _in_context(context, f"{place}.{CONTEXT}")
    strange = {name: value for name, value in _first(context) if not _nests(name) and not nearest(name, OWN_FIELDS)}
    yield from _in(strange, f"{place}.{CONTEXT}.", _NONE, right)
    yield from _unknown_in_context(context, f"{place}.{CONTEXT}")
    for element, each in _containers(part, place):
        of_one = object_of(each.get(CONTEXT))
        yield from _in_context(of_one, f"{element}.{CONTEXT}")
        for field, value in of_one.items():
            if field in _OF_POD_ALONE and value is not None:
                yield f"{element}.{CONTEXT}.{field}", f"{place}.{CONTEXT}.{field}"
        yield from _unknown_in_context(of_one, f"{element}.{CONTEXT}")
        outside = {field: value for field, value in _first(each) if meant_field(field).startswith(CONTEXT)}
        yield from _in(outside, f"{element}.", frozenset({CONTEXT}), _within(element))
    for row in component.beside:
        if row.settings and not row.init:
            settings = object_of(value_at(part, row.settings))
            own = _within(f"{place}.containers[{row.name}]")
            wrong = {field: value for field, value in _first(settings) if meant_field(field).startswith(CONTEXT)}
            yield from _in(wrong, ".".join((place, *row.settings, "")), _NONE, own)


def _in_objects(holder: Raw, place: str, known: tuple[str, ...], right: Right) -> Iterator[tuple[str, str]]:
    """The fields in objects of a holder, and in their `spec`, that belong to the holder.

    Values of Helm charts have such objects. The `known` objects, and those with almost their name, have other places.
    """
    for field, value in _first(holder):
        if not isinstance(value, dict) or field in known or field in TEMPLATES:
            continue
        for inner, found in ((field, value), (f"{field}.spec", object_of(value.get("spec")))):
            deep = {name: each for name, each in _first(found) if _is_deep(name, each)}
            if deep and not nearest(field, known):
                yield from _in(deep, f"{place}{inner}.", _NONE, right)


def _is_deep(name: str, value: Any) -> bool:
    """Whether a field is one of those that stand in no such object; a label or an argument of that name is a text."""
    meant = named_field(name)
    return meant in _DEEP and isinstance(value, dict if meant == CONTEXT else bool)


def _unknown_in_context(context: Raw, place: str) -> Iterator[tuple[str, str]]:
    """The fields of a securityContext that Kubernetes does not have, and that are near to none."""
    for field, value in _first(context):
        near = field in _OF_ANY_LEVEL or _nests(field) or nearest(field, OWN_FIELDS) or meant_field(field)
        if value is not None and not near:
            yield f"{place}.{field}", ""


def _containers(part: Raw, place: str) -> Iterator[tuple[str, Raw]]:
    """The elements of a part's containers and initContainers, each with its place."""
    for group in _GROUPS:
        for index, each in enumerate(objects_of(part.get(group))[:_MOST_ELEMENTS]):
            yield f"{place}.{group}[{text_at(each, ('name',)) or index}]", each


def _may_be_made(row: OperatorContainer, part: Raw) -> bool:
    """Whether the operator may make a container: one with settings of its own only where they stand."""
    return not row.settings or isinstance(value_at(part, row.settings), dict)


def _without_image(kind: str, spec: Raw) -> Iterator[Warn]:
    """Containers that patch none of the operator's, and are none of their own."""
    for component, part, place in _parts_with_places(kind, spec):
        for element, each in _containers(part, place):
            name = text_at(each, ("name",))
            first = element.removesuffix("]").rpartition("[")[0].endswith("initContainers")
            beside = [row for row in component.beside if row.init == first]
            made = [row for row in beside if kind in PARENTS or _may_be_made(row, part)]
            names = tuple(row.name for row in made)
            names = names if first else (component.main, *names)
            if each.get("image") is not None or name in names:
                continue
            needs = next((row.settings for row in beside if row.name == name), ())
            meant = "" if needs else nearest(name, names) or ("" if first else component.main)
            right = f"{element.rpartition('[')[0]}[{meant}]" if meant else ""
            why = f"{element} has no image and is no container of the operator: the API server refuses such a pod"
            remedy = f"Rename it to {meant}, or set an image" if meant else "Set an image"
            if needs:
                right = f"{_WRITE}{'.'.join((place, *needs))}"
                remedy = f"{right}, or remove the element"
            yield Warn(ID, f"{why}. {remedy}", about=(element, right))


def _parts_with_places(kind: str, spec: Raw) -> Iterator[tuple[Component, Raw, str]]:
    """The components of a resource, or of the children of a parent, each with its part and the place of that."""
    if kind not in PARENTS:
        for component in BY_KIND.get(kind, ()):
            yield component, component.part_of(spec), ".".join(("spec", *component.path[1:]))
    for child in PARENTS.get(kind, {}).values():
        for holder_place, holder in [("spec", spec)] if child.shared else _zone_holders(spec):
            child_spec = object_of(object_of(holder.get(child.field)).get("spec"))
            for component in BY_KIND[child.kind]:
                place = ".".join((holder_place, child.field, "spec", *component.path[1:]))
                yield component, component.part_of(child_spec), place


def _nests(field: str) -> bool:
    return plain(field) in WITHIN_CONTEXT


def _in_context(context: Raw, place: str) -> Iterator[tuple[str, str]]:
    for field, value in _first(context):
        if isinstance(value, dict) and _nests(field):
            yield f"{place}.{field}", f"its fields in {place} itself"
    yield from _misspelt(context, f"{place}.", OWN_FIELDS)


def _in_parent(kind: str, spec: Raw) -> Iterator[tuple[str, str]]:
    """Of the spec of a parent: its zones, zoneCommon and the child of all zones."""
    children = PARENTS[kind]
    yield from _in(spec, "spec.", _NONE, _right_at_root(kind, spec))
    shared = tuple(each.field for each in children.values() if each.shared)
    yield from _misspelt(spec, "spec.", ("zones", "zoneCommon", *shared))
    holders = _zone_holders(spec)
    of_zones = tuple(each.field for each in children.values() if not each.shared)
    known = ("zones", "zoneCommon", *shared, *of_zones)
    yield from _in_objects(spec, "spec.", known, _right_at_root(kind, spec))
    yield from _misspelt(spec, "spec.", of_zones, "spec.zoneCommon.")
    for place, holder in holders:
        yield from _in(holder, f"{place}.", _NONE, _within(f"{place}.{of_zones[0]}.spec"))
        parts_of_zones = (part for each in children.values() for part in _part_fields(each.kind))
        known = (*of_zones, *parts_of_zones)
        yield from _in_objects(holder, f"{place}.", known, _within(f"{place}.{of_zones[0]}.spec"))
        yield from _misspelt(holder, f"{place}.", of_zones)
    for child in children.values():
        parts = _part_fields(child.kind)
        for place, holder in [("spec", spec)] if child.shared else holders:
            own, within = object_of(holder.get(child.field)), f"{place}.{child.field}.spec"
            yield from _in(own, f"{place}.{child.field}.", _NONE, _within(within))
            yield from _misspelt(own, f"{place}.{child.field}.", parts, f"{within}.")
            yield from _misspelt(holder, f"{place}.", parts, f"{within}.")
            child_spec = object_of(own.get("spec"))
            yield from (
                (f"{within}.{field}", _separate(child.kind)) for field in child.without if child_spec.get(field)
            )
            yield from _in_spec(child.kind, child_spec, within)


def _zone_holders(spec: Raw) -> list[tuple[str, Raw]]:
    """The zones of a parent and zoneCommon, each with its place."""
    zones = objects_of(spec.get("zones"))[:_MOST_ELEMENTS]
    holders = [(f"spec.zones[{text_at(zone, ('name',)) or index}]", zone) for index, zone in enumerate(zones)]
    return [*holders, ("spec.zoneCommon", object_of(spec.get("zoneCommon")))]


def _first(holder: Raw) -> Iterable[tuple[str, Any]]:
    """The first fields of an object: an API server keeps unknown fields in a part without a schema."""
    return islice(holder.items(), _MOST_FIELDS)


def _separate(kind: str) -> str:
    return f"{_SEPARATE}{kind}"


def _within(place: str) -> Right:
    return lambda field: f"{place}.{field}"


def _in(holder: Raw, place: str, allowed: frozenset[str], right: Right) -> Iterator[tuple[str, str]]:
    """The fields of one object that are none of its kind's, by the fields that they are meant to be."""
    for field, value in _first(holder):
        if value is None or field in allowed:
            continue
        meant = meant_field(field)
        if not meant:
            continue
        belongs = right(meant)
        if meant == "podMetadata" and plain(field) != "podmetadata":
            belongs = f"{belongs}.annotations"
        if meant.startswith("disable") and not plain(field).startswith("disable"):
            if value is True:  # as without it
                continue
            belongs = f"{belongs}: true"
        yield f"{place}{field}", belongs


def _misspelt(holder: Raw, place: str, names: tuple[str, ...], belongs: str = "") -> Iterator[tuple[str, str]]:
    """The fields of one object that are almost a known name, or one of another kind.

    `belongs` is the place of these names, where that is not the object itself.
    """
    for field, value in _first(holder):
        name = "" if value is None or (field in names and not belongs) else nearest(field, names)
        if name:
            yield f"{place}{field}", f"{belongs or place}{name}"


_OF_PODS = NothingToCopy("it finds nothing in pods, as the API server has dropped the field")

_WHOLE = frozenset({CONTEXT, STRICT, "disableAutomountServiceAccountToken", "hostNetwork"})
"""Fields with nothing in them that a report may not show; the values of others are left to the reader."""


def fix(finding: Violation | Warn, resource: ResourceObject) -> Fix:
    """The field at its place, and null where it stands."""
    place, right = finding.about if isinstance(finding, Warn) else (finding.path, "")
    wrong = steps_of(place)
    if not right or right.startswith(_SEPARATE):
        return _removed(place, wrong, resource)
    if right.startswith(_WRITE):
        return Fix(notes=(f"{right}: <its settings>. Or remove {place}.",), of_resource=True)
    targets = right.removesuffix(", or in another child").removesuffix(" itself")
    value = found_at(resource.object, wrong)
    *outer, last = wrong or [("", "")]
    if last[0] in _OF_POD_ALONE and any(name for field, name in outer if field in _GROUPS):
        note = f"A container has no such field. To set it for the whole pod, write {right}."
        return Fix(placed_at(wrong, None), notes=(note,), of_resource=True)
    if targets.endswith(": true"):
        targets, value = targets.removesuffix(": true"), True
    into = [steps_of(each.removeprefix(ITSELF)) for each in targets.split(" and ")]
    by_name = all(each for each in (*into, wrong)) and value is not None
    if not by_name or not _WHOLE.intersection(field for each in into for field, _ in each):
        return Fix(notes=(f"Move the value of {place} to {targets}: <the value>",), of_resource=True)
    leaves = _is_last(outer, resource) and all(each[: len(outer)] != outer for each in into)
    fields: Raw = placed_at(outer if leaves else wrong, None)
    for each in into:
        fields = joined(fields, placed_at(each, value))
    return Fix(fields, of_resource=True)


def _is_last(outer: list[tuple[str, str]], resource: ResourceObject) -> bool:
    """Whether a field is the only one of its context: an empty context would turn strict security off."""
    return bool(outer) and outer[-1][0] == CONTEXT and len(object_of(found_at(resource.object, outer))) == 1


def _removed(place: str, wrong: list[tuple[str, str]], resource: ResourceObject) -> Fix:
    """The field without a right place removed, and its context with it if nothing is left there."""
    if not wrong or wrong[-1][1]:  # a container without an image
        return Fix(notes=(f"Write <an image> in {place}.",), of_resource=True)
    *outer, _ = wrong
    return Fix(placed_at(outer if _is_last(outer, resource) else wrong, None), of_resource=True)


RULE = Rule(id=ID, order=25, text=__doc__, fix=_OF_PODS, resource=check, resource_fix=fix, fields=reads)
