"""The children that the operator makes from a parent, and what the parent's spec sets for each.

In every zone the operator makes the agent and one backend, also if the zone does not list them. It makes one VMAuth for
all zones unless the parent turns it off. Without a `backendType`, a zone has the default backend, or the other one if
only that one is set, although the operator refuses such a parent.

A child's name is from its zone, or from `zoneCommon` with `%ZONE%` for the zone's name, or is `<parent>-<zone>`. A
shared child is one for all zones. The fields of a zone have precedence over those of zoneCommon. A parent may have many
zones, so each function walks them once, and the names of many zones are indexed. Source: operator v0.74 (naming
functions and `MergeSpecs`).
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from webhook.facts import Ref
from webhook.name_forms import LONGEST_NAME
from webhook.policy.components import PARENTS, Child
from webhook.policy.conditions import EACH, Path

Layers = tuple[tuple[str, dict[str, Any]], ...]
"""Places (`VMDistributed mon/x spec.zones[a].vmagent.spec`) with the specs there, the most specific first."""

_ZONE = "%ZONE%"

_TOO_LONG = LONGEST_NAME + 1
"""Characters that a name never has; a tenant could make gigabytes of names with a template and many zones."""

MOST_ZONES = 500
"""Most zones that are judged with a parent; one request must not take the time of all others."""


INDEXED = range(20, 2001)
"""Numbers of zones for which the names of children are indexed; a cached parent has no more."""


class _Same:
    """A value as the key of a cache that finds this very object only. The cache holds it, so its id is not reused."""

    __slots__ = ("value",)

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value


def children(parent: Ref, spec: dict[str, Any], kind: str, most: int | None = None) -> Iterator[tuple[str, Layers]]:
    """Name of each child of a kind in the parent's first `most` zones (None: all), and its layers of specs."""
    child = PARENTS[parent.kind].get(kind)
    if child is None:
        return
    if child.shared:
        own = member(spec, child.field)
        yield str(own.get("name") or parent.name), _shared_layers(parent, spec, child)
        return
    common_layers = _common_layers(parent, spec, child)
    for index, zone in enumerate(islice(zones(spec), most)):
        yield _child_name(parent.name, spec, zone, child), (_zone_layer(parent, zone, index, child), *common_layers)


def made_children(parent: Ref, spec: dict[str, Any], kind: str, most: int) -> Iterator[tuple[str, Layers]]:
    """The same as `children`, but only the children that the operator makes."""
    child = PARENTS[parent.kind][kind]
    if child.shared:
        if member(spec, child.field).get("enabled") is not False:
            yield from children(parent, spec, kind)
        return
    common_layers = _common_layers(parent, spec, child)
    for index, zone in enumerate(islice(zones(spec), most)):
        if not child.backend or _backend(parent, spec, zone) == child:
            yield _child_name(parent.name, spec, zone, child), (_zone_layer(parent, zone, index, child), *common_layers)


def _backend(parent: Ref, spec: dict[str, Any], zone: Any) -> Child:
    """The backend that the operator makes in a zone."""
    backends = [child for child in PARENTS[parent.kind].values() if child.backend]
    named = next((child for child in backends if child.kind == spec.get("backendType")), None)
    if named:
        return named
    default = next(child for child in backends if child.default)
    for holder in (zone, member(spec, "zoneCommon")):
        present = [child for child in backends if member(holder, child.field)]
        if present:
            return default if default in present else present[0]
    return default


def zones(spec: dict[str, Any]) -> list[Any]:
    """The zones with any elements; [] for anything else than a list."""
    found = spec.get("zones")
    return found if isinstance(found, list) else []


def layers_of_child(parent: Ref, spec: dict[str, Any], kind: str, name: str) -> Layers:
    """The layers of specs that a parent has for one child; for the name of no zone, the layers for all zones."""
    child = PARENTS[parent.kind].get(kind)
    if child is None:
        return ()
    if not child.shared and len(zones(spec)) in INDEXED:
        index = _index(_Same(spec), parent.kind, parent.name, kind).get(name)
        if index is None:
            return _common_layers(parent, spec, child)
        zone = zones(spec)[index]
        return (_zone_layer(parent, zone, index, child), *_common_layers(parent, spec, child))
    found = next((layers for child_name, layers in children(parent, spec, kind) if child_name == name), None)
    if found is not None:
        return found
    return _shared_layers(parent, spec, child) if child.shared else _common_layers(parent, spec, child)


@lru_cache(4)
def _index(spec: _Same, parent_kind: str, parent_name: str, kind: str) -> dict[str, int]:
    """The index of the first zone that makes a child of each name."""
    child = PARENTS[parent_kind][kind]
    found: dict[str, int] = {}
    for index, zone in enumerate(zones(spec.value)):
        found.setdefault(_child_name(parent_name, spec.value, zone, child), index)
    return found


def _child_name(parent_name: str, spec: dict[str, Any], zone: Any, child: Child) -> str:
    zone_name = _zone_name(zone)
    common = member(member(spec, "zoneCommon"), child.field)
    named = str(member(zone, child.field).get("name") or "") or _expanded(str(common.get("name") or ""), zone_name)
    return (named or f"{parent_name}-{zone_name}")[:_TOO_LONG]


def _expanded(template: str, zone_name: str) -> str:
    """The template with the name of the zone; only the start of one that is too long, and so is no name."""
    if len(template) + template.count(_ZONE) * (len(zone_name) - len(_ZONE)) >= _TOO_LONG:
        template, zone_name = template[:_TOO_LONG], zone_name[:_TOO_LONG]
    return template.replace(_ZONE, zone_name)


def _zone_layer(parent: Ref, zone: Any, index: int, child: Child) -> tuple[str, dict[str, Any]]:
    place = f"{parent} spec.zones[{_zone_name(zone) or index}].{child.field}.spec"
    return place, member(member(zone, child.field), "spec")


def _zone_name(zone: Any) -> str:
    return str(zone.get("name") or "") if isinstance(zone, dict) else ""


def name_paths(child: Child) -> tuple[Path, ...]:
    """The fields of a parent's spec that decide the names and places of its children."""
    if child.shared:
        return ((child.field, "name"),)
    return (("zones", EACH, "name"), ("zones", EACH, child.field, "name"), ("zoneCommon", child.field, "name"))


def spec_paths(child: Child) -> tuple[Path, ...]:
    """The places in a parent's spec that may have the spec of a child."""
    if child.shared:
        return ((child.field, "spec"),)
    return (("zones", EACH, child.field, "spec"), ("zoneCommon", child.field, "spec"))


def member(value: Any, field: str) -> dict[str, Any]:
    """An object's member that is an object, {} for anything else."""
    found = value.get(field) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _shared_layers(parent: Ref, spec: dict[str, Any], child: Child) -> Layers:
    return ((f"{parent} spec.{child.field}.spec", member(member(spec, child.field), "spec")),)


def _common_layers(parent: Ref, spec: dict[str, Any], child: Child) -> Layers:
    common = member(member(member(spec, "zoneCommon"), child.field), "spec")
    return ((f"{parent} spec.zoneCommon.{child.field}.spec", common),)
