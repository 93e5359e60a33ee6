"""A custom resource as the pods it stands for: its components as workloads, and the policies that it names.

A parent (VMDistributed, VLDistributed) stands for the pods of its children, which the operator makes of its zones and
zoneCommon. Pure; fetches nothing; costs no more than in proportion to what the resource holds.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from webhook.facts import Ref
from webhook.policy.components import BY_KIND, PARENTS, Component
from webhook.policy.custom_resources import GROUP
from webhook.policy.parents import MOST_ZONES, Layers, children, zones
from webhook.policy.posture import READ
from webhook.policy.preview.prediction import READ as SKETCHED
from webhook.policy.rules.wanted_context import OWN_FIELDS
from webhook.policy.workload import Parentage, Workload

MOST_WHOLE = 20
"""Zones of a parent whose pods are sketched."""

MOST_BYTES = 512 * 1024
"""Of a resource's spec as JSON, times the zones that are sketched; the largest that are seen have some 10 KiB."""


def workloads_of(ref: Ref, spec: dict[str, Any], parentage: Parentage) -> Iterator[Workload]:
    """The workloads that the operator makes of a resource, without their kind of controller, for their postures."""
    return _workloads(ref, spec, parentage, MOST_ZONES, READ)


def whole_workloads(ref: Ref, spec: dict[str, Any], parentage: Parentage) -> Iterator[Workload]:
    """The same with all that sketches read, for as much of a resource as may be sketched (`unseen` says of the rest).

    What a zone says is merged with what is said of all, so that many zones of much text cost their product.
    """
    most = _sketchable(spec)
    return _workloads(ref, spec, parentage, most, (*READ, *SKETCHED)) if most else iter(())


def _sketchable(spec: dict[str, Any]) -> int:
    """How many zones of a parent may be sketched; 0 when the resource is too large altogether."""
    try:
        size = len(msgspec.json.encode(spec))
    except OverflowError:  # an integer of more than 64 bits
        size = len(repr(spec))
    return min(MOST_WHOLE, MOST_BYTES // size)


def _workloads(
    ref: Ref, spec: dict[str, Any], parentage: Parentage, most: int, fields: tuple[str, ...]
) -> Iterator[Workload]:
    if ref.kind in PARENTS:
        for kind in PARENTS[ref.kind]:
            for name, said in children(ref, spec, kind, most):
                if any(child for _, child in said):
                    child_ref = Ref(GROUP, "", kind, ref.namespace, name)
                    yield from _workloads(child_ref, _read(kind, said, fields), Parentage(ref, said), most, fields)
        return
    for component in BY_KIND[ref.kind]:
        if component.runs_in(spec):
            yield Workload(ref.kind, ref.namespace, ref.name, component, "", spec, parentage=parentage)


def unjudged(ref: Ref, spec: dict[str, Any]) -> str:
    """What of a resource is too much to be judged, for a person; "" for nothing."""
    more = len(zones(spec)) - MOST_ZONES if ref.kind in PARENTS else 0
    return f"{ref} has more than {MOST_ZONES} zones: the last {more} are not judged here" if more > 0 else ""


def unseen(ref: Ref, spec: dict[str, Any]) -> str:
    """What of a resource is too much to be sketched, for a person; "" for nothing."""
    most = _sketchable(spec)
    if not most:
        return f"{ref} is larger than {MOST_BYTES // 1024} KiB: it is judged by its settings alone, not by its pods"
    more = min(len(zones(spec)), MOST_ZONES) - most if ref.kind in PARENTS else 0
    return f"{ref}: of its zones {more} more are judged by their settings alone, not by their pods" if more > 0 else ""


def _read(kind: str, said: Layers, fields: tuple[str, ...]) -> dict[str, Any]:
    """One spec of all that is said of a child, with those fields and nothing else: the first word wins."""
    specs = [spec for _, spec in said]
    result = _first_words(specs, fields)
    for component in BY_KIND[kind]:
        if len(component.path) > 1 and any(isinstance(spec.get(component.path[1]), dict) for spec in specs):
            _put(result, component, specs, fields)
    return result


def _put(result: dict[str, Any], component: Component, specs: list[dict[str, Any]], fields: tuple[str, ...]) -> None:
    """Put a component's part into the spec, and beside it whether a balancer is enabled."""
    inner = _first_words([component.part_of(spec) for spec in specs], fields)
    first, *rest = component.path[1:]
    if not rest:
        result[first] = inner
        return
    outer = [spec[first] for spec in specs if isinstance(spec.get(first), dict)]
    enabled = next((part["enabled"] for part in outer if part.get("enabled") is not None), None)
    result[first] = {"enabled": enabled, rest[0]: inner}


def _first_words(parts: list[dict[str, Any]], fields: tuple[str, ...]) -> dict[str, Any]:
    words = {field: _first(field, parts) for field in fields}
    if words.get("extraArgs"):
        arguments = [part["extraArgs"] for part in reversed(parts) if isinstance(part.get("extraArgs"), dict)]
        words["extraArgs"] = {flag: value for each in arguments for flag, value in each.items()}
    contexts = [part["securityContext"] for part in parts if isinstance(part.get("securityContext"), dict)]
    if contexts and isinstance(words["securityContext"], dict):
        merged = {field: _first(field, contexts) for field in OWN_FIELDS}
        words["securityContext"] = {field: value for field, value in merged.items() if value is not None}
    return {field: value for field, value in words.items() if value is not None}


def _first(field: str, parts: list[dict[str, Any]]) -> Any:
    return next((part[field] for part in parts if part.get(field) is not None), None)
