"""What a parent (VMDistributed, VLDistributed) says of the children that the operator makes of it.

A child is named by its zone, or by `zoneCommon` with `%ZONE%` for the zone's name, or is `<parent>-<zone>`; a VMAuth
there is one for all zones. What a zone says goes before what zoneCommon says. Zones are walked once, whatever is
asked, as a parent may have many. Source: operator v0.74, `VMAgentName`, `VMClusterName` and `MergeSpecs`.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from webhook.facts import Ref
from webhook.policy.components import PARENTS, SHARED_CHILD

Layers = tuple[tuple[str, dict[str, Any]], ...]
"""Place (`VMDistributed mon/x spec.zones[a].vmagent.spec`) and spec of all that is said, the most special first."""

MOST_ZONES = 500
"""Zones that are judged when a parent itself is; one request must not cost what all others wait for."""


def children(parent: Ref, spec: dict[str, Any], kind: str, most: int | None = None) -> Iterator[tuple[str, Layers]]:
    """Name of each child of a kind that the parent's first `most` zones make (None: all), and what is said of it."""
    field = PARENTS[parent.kind].get(kind)
    if field is None:
        return
    if field == SHARED_CHILD:
        own = member(spec, field)
        yield str(own.get("name") or parent.name), ((f"{parent} spec.{field}.spec", member(own, "spec")),)
        return
    common = member(member(spec, "zoneCommon"), field)
    common_layers = _common_layers(parent, spec, field)
    for index, zone in enumerate(islice(zones(spec), most)):
        own = member(zone, field)
        zone_name = str(zone.get("name") or "") if isinstance(zone, dict) else ""
        named = own.get("name") or str(common.get("name") or "").replace("%ZONE%", zone_name)
        name = str(named or f"{parent.name}-{zone_name}")
        place = f"{parent} spec.zones[{zone_name or index}].{field}.spec"
        yield name, ((place, member(own, "spec")), *common_layers)


def zones(spec: dict[str, Any]) -> list[Any]:
    """The zones as they stand there; [] for anything else than a list."""
    found = spec.get("zones")
    return found if isinstance(found, list) else []


def layers_of_child(parent: Ref, spec: dict[str, Any], kind: str, name: str) -> Layers:
    """What a parent says of one child; of a name that no zone makes, what it says of all."""
    said = next((said for child, said in children(parent, spec, kind) if child == name), None)
    return _common_layers(parent, spec, PARENTS[parent.kind].get(kind, "")) if said is None else said


def member(value: Any, field: str) -> dict[str, Any]:
    """An object's member that is an object, {} for anything else."""
    found = value.get(field) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _common_layers(parent: Ref, spec: dict[str, Any], field: str) -> Layers:
    if field == SHARED_CHILD:
        return ((f"{parent} spec.{field}.spec", member(member(spec, field), "spec")),)
    common = member(member(member(spec, "zoneCommon"), field), "spec")
    return ((f"{parent} spec.zoneCommon.{field}.spec", common),)
