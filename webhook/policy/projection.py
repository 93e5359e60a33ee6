"""What of a custom resource's spec decisions read, and nothing else: what a cache of thousands of them needs to keep.

Pure; a decision on what is kept is the decision on the whole, which the tests hold for any content.
"""

from typing import Any

from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.posture import READ


def kept(kind: str, spec: Any) -> dict[str, Any]:
    """The part of a resource's spec that decisions read; {} of anything that is no object."""
    if not isinstance(spec, dict):
        return {}
    if kind in PARENTS:
        return _parent(kind, spec)
    result = _part(spec)
    if isinstance(spec.get("serviceAccountName"), str):
        result["serviceAccountName"] = spec["serviceAccountName"]
    for component in BY_KIND.get(kind, ()):
        first, *rest = (*component.path[1:], "")
        outer = spec.get(first)
        if not first or not isinstance(outer, dict):
            continue
        if not rest[0]:
            result[first] = _part(outer)
        else:
            result[first] = {"enabled": outer.get("enabled"), rest[0]: _part(outer.get(rest[0]))}
    return result


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        return {}
    result = {field: part[field] for field in READ if part.get(field) is not None}
    volumes = part.get("volumes")
    if isinstance(volumes, list) and volumes:
        result["volumes"] = [{"name": volume.get("name")} for volume in volumes if isinstance(volume, dict)]
    return result


def _parent(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for child_kind, field in PARENTS[kind].items():
        if field in spec:
            result[field] = _child(child_kind, spec[field])
    if "zoneCommon" in spec:
        result["zoneCommon"] = _zone(kind, spec["zoneCommon"])
    zones = spec.get("zones")
    if isinstance(zones, list):
        result["zones"] = [_zone(kind, zone) for zone in zones]
    return result


def _zone(kind: str, zone: Any) -> dict[str, Any]:
    if not isinstance(zone, dict):
        return {}
    children = {field: _child(child_kind, zone[field]) for child_kind, field in PARENTS[kind].items() if field in zone}
    return {**({"name": zone["name"]} if "name" in zone else {}), **children}


def _child(kind: str, child: Any) -> dict[str, Any]:
    if not isinstance(child, dict):
        return {}
    return {**({"name": child["name"]} if "name" in child else {}), "spec": kept(kind, child.get("spec"))}
