"""What a parent (VMDistributed, VLDistributed) says of the children that the operator makes of it.

A child is named by its zone, or by `zoneCommon` with `%ZONE%` for the zone's name, or is `<parent>-<zone>`; a VMAuth
there is one for all zones. What a zone says goes before what zoneCommon says. Source: operator v0.74, `VMAgentName`,
`VMClusterName` and `MergeSpecs`.
"""

from collections.abc import Iterator
from typing import Any

from webhook.policy.components import PARENTS, SHARED_CHILD

Said = list[tuple[str, dict[str, Any]]]
"""Path and spec of everything said, the most special first."""


def children(parent_kind: str, parent_name: str, spec: dict[str, Any], kind: str) -> Iterator[tuple[str, Said]]:
    """Name of each child of a kind that the parent's spec makes, and what is said of it."""
    field = PARENTS[parent_kind].get(kind)
    if field is None:
        return
    if field == SHARED_CHILD:
        own = member(spec, field)
        yield str(own.get("name") or parent_name), [(f"spec.{field}.spec", member(own, "spec"))]
        return
    common = member(member(spec, "zoneCommon"), field)
    said_of_all = (f"spec.zoneCommon.{field}.spec", member(common, "spec"))
    zones = spec.get("zones")
    for index, zone in enumerate(zones if isinstance(zones, list) else ()):
        own = member(zone, field)
        zone_name = str(zone.get("name")) if isinstance(zone, dict) else ""
        named = own.get("name") or str(common.get("name") or "").replace("%ZONE%", zone_name)
        name = str(named or f"{parent_name}-{zone_name}")
        yield name, [(f"spec.zones[{index}].{field}.spec", member(own, "spec")), said_of_all]


def said_of_child(parent_kind: str, parent_name: str, spec: dict[str, Any], kind: str, name: str) -> Said:
    """What a parent says of one child; of a name that no zone makes, what it says of all."""
    everything = list(children(parent_kind, parent_name, spec, kind))
    field = PARENTS[parent_kind].get(kind)
    if field == SHARED_CHILD:
        return everything[0][1]
    common = member(member(member(spec, "zoneCommon"), field or ""), "spec")
    return dict(reversed(everything)).get(name, [(f"spec.zoneCommon.{field}.spec", common)])


def merged(said: Said) -> dict[str, Any]:
    """One spec of all that is said, the most special word winning field by field."""
    result: dict[str, Any] = {}
    for _, spec in reversed(said):
        result = _merge(result, spec)
    return result


def member(value: Any, field: str) -> dict[str, Any]:
    """An object's member that is an object, {} for anything else."""
    found = value.get(field) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for field, value in over.items():
        below = result.get(field)
        result[field] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
