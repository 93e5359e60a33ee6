"""The pods that the operator makes from a custom resource: its workloads, their postures, and the predicted pods.

The pods of a parent (VMDistributed, VLDistributed) are those of its children, which the operator makes from its zones
and zoneCommon. Pure; takes time in proportion to the size of the resource.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from webhook.facts import Ref
from webhook.policy.components import BY_KIND, COMPONENTS, PARENTS
from webhook.policy.conditions import Path, paths_of, text_at, value_at
from webhook.policy.custom_resources import GROUP
from webhook.policy.field_types import MOST
from webhook.policy.json_access import Raw
from webhook.policy.parents import MOST_ZONES, Layers, made_children, zones
from webhook.policy.posture import ROOT_FIELDS, Posture, Setting, paths_in, posture_of
from webhook.policy.preview.predicted_pod import FIELDS, PredictedPod, predict
from webhook.policy.preview.predicted_types import wrongly_predicted
from webhook.policy.rules.wanted_context import OWN_FIELDS
from webhook.policy.workload import Parentage, Workload
from webhook.settings import Settings

MOST_PREDICTED_ZONES = 20
"""Most zones of a parent with predicted pods."""

MOST_BYTES = 512 * 1024
"""Most bytes of a resource's spec as JSON, times the predicted zones; the largest in use have about 10 KiB."""


class PodsOfResource(msgspec.Struct, frozen=True):
    """The pods that the operator makes from one custom resource; `parentage` is what a parent sets for it."""

    resource: Ref
    spec: Raw
    parentage: Parentage = Parentage()

    def workloads(self) -> Iterator[Workload]:
        """The workloads as far as their postures need them, without their kind of controller."""
        return _workloads(self.resource, self.spec, self.parentage, MOST_ZONES, _POSTURE_FIELDS)

    def postures(self, settings: Settings) -> tuple[Posture, ...]:
        """The posture of each workload."""
        return tuple(self._posture(workload, settings) for workload in self.workloads())

    def predicted(self, settings: Settings) -> tuple[PredictedPod, ...]:
        """A pod of each workload, for as much of the resource as may be predicted."""
        most = self._predicted_zones()
        if not most:
            return ()
        workloads = _workloads(self.resource, self.spec, self.parentage, most, _PREDICTED_FIELDS)
        return tuple(predict(workload, posture_of(workload, settings)) for workload in workloads)

    def _posture(self, workload: Workload, settings: Settings) -> Posture:
        """The posture of a workload, with its place in this resource if that is the parent."""
        posture = posture_of(workload, settings)
        if workload.kind == self.resource.kind or not workload.parentage.layers:
            return posture
        return msgspec.structs.replace(
            posture,
            place=f"{place_in_parent(self.resource, workload)} ({workload.name})",
            context_setting=_set_by_parent(posture.context_setting, workload),
            api_setting=_set_by_parent(posture.api_setting, workload),
        )

    def notes(self) -> tuple[str, ...]:
        """What a person should know about how the pods were found, and what was left out."""
        most = self._predicted_zones()
        wrong = islice(wrongly_predicted(self.resource, self.spec, most), MOST) if most else ()
        notes = (
            self.parentage.note,
            *wrong,
            *islice(self._clashes(), MOST),
            self._zones_left_out(),
            self.not_predicted(),
        )
        return tuple(note for note in notes if note)

    def _clashes(self) -> Iterator[str]:
        """Zones of a parent without a name of their own, else children with one name: the operator refuses both."""
        names: set[str] = set()
        for index, zone in enumerate(zones(self.spec)[:MOST_ZONES] if self.resource.kind in PARENTS else ()):
            name = text_at(zone, ("name",))
            if not name:
                yield f"spec.zones[{index}] has no name, so the API server or the operator refuses the resource"
            elif name in names:
                yield f"spec.zones[{index}] has the name of another zone, {name}, so the operator refuses the resource"
            names.add(name)
        if len(names) < self._zones():
            return
        for kind, child in PARENTS.get(self.resource.kind, {}).items():
            if child.shared:
                continue
            places: dict[str, str] = {}
            for name, layers in made_children(self.resource, self.spec, kind, MOST_ZONES):
                place = layers[0][0].removeprefix(f"{self.resource} ").removesuffix(".spec")
                if name in places:
                    yield f"{places[name]} and {place} are both {kind} {name}, so the operator refuses the resource"
                places.setdefault(name, place)

    def not_predicted(self) -> str:
        """Which part of the resource is too large to be predicted, for a person; "" for none."""
        most = self._predicted_zones()
        if not most:
            size = f"{MOST_BYTES // 1024} KiB"
            return f"{self.resource} is larger than {size}: it is judged by its settings alone, not by its pods"
        more = min(self._zones(), MOST_ZONES) - most
        if more <= 0:
            return ""
        return f"{self.resource}: of its zones {more} more are judged by their settings alone, not by their pods"

    def _zones_left_out(self) -> str:
        more = self._zones() - MOST_ZONES
        if more <= 0:
            return ""
        return f"{self.resource} has more than {MOST_ZONES} zones: the last {more} are not judged here"

    def _zones(self) -> int:
        return len(zones(self.spec)) if self.resource.kind in PARENTS else 0

    def _predicted_zones(self) -> int:
        """How many zones of a parent are predicted; 0 when the resource is too large altogether.

        The fields of each zone are merged with those of zoneCommon, so the cost is the product of the two.
        """
        try:
            size = len(msgspec.json.encode(self.spec))
        except OverflowError:  # an integer of more than 64 bits
            size = len(repr(self.spec))
        return min(MOST_PREDICTED_ZONES, MOST_BYTES // size)


_Fields = dict[str, tuple[str, ...]]
"""The fields of a component's part that are read, by the name of the component."""


def _set_by_parent(setting: Setting, workload: Workload) -> Setting:
    """A setting of a child with its place in the parent, which the operator copies it from."""
    place, _, field = setting.place.rpartition(".")
    if not place.startswith(f"{workload} "):
        return setting
    component = workload.component
    for layer, spec in workload.parentage.layers or ():
        if component.part_of(spec).get(field) is not None:
            return Setting(".".join((layer, *component.path[1:], field)), setting.word)
    return setting


def place_in_parent(parent: Ref, workload: Workload) -> str:
    """The place of a child's component in its parent: `zones[a].vmcluster.vmselect`, `vmauth`."""
    layers = workload.parentage.layers or ()
    place = ".".join((layers[0][0], *workload.component.path[1:]))
    return place.removeprefix(f"{parent} spec.").replace(".spec", "")


def _first_names(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path[0] for path in paths))


_POSTURE_FIELDS: _Fields = {each.name: _first_names(paths_in(each)) for each in COMPONENTS}
_PREDICTED_FIELDS: _Fields = {
    each.name: _first_names((*paths_in(each), *((field,) for field in FIELDS), *each.fields)) for each in COMPONENTS
}


def _workloads(ref: Ref, spec: Raw, parentage: Parentage, most: int, fields: _Fields) -> Iterator[Workload]:
    """The workloads of a resource, or of the children that the first `most` zones of a parent make."""
    for kind, child in PARENTS.get(ref.kind, {}).items():
        for name, layers in made_children(ref, spec, kind, most):
            child_ref = Ref(GROUP, "", kind, ref.namespace, name)
            child_spec = _merged_spec(kind, layers, fields) | dict.fromkeys(child.turns_on, True)
            child_spec = {field: value for field, value in child_spec.items() if field not in child.without}
            yield from _workloads(child_ref, child_spec, Parentage(ref, layers), most, fields)
    for component in BY_KIND.get(ref.kind, ()):
        if component.runs_in(spec):
            yield Workload(ref.kind, ref.namespace, ref.name, component, "", spec, parentage=parentage)


def _merged_spec(kind: str, layers: Layers, fields: _Fields) -> Raw:
    """One spec of all that a parent sets for a child, with those fields of each component and nothing else."""
    specs = [spec for _, spec in layers]
    result = _merged(specs, ROOT_FIELDS)
    for component in BY_KIND[kind]:
        path = component.path[1:]
        if not path:
            result |= _merged(specs, fields[component.name])
        elif any(isinstance(spec.get(path[0]), dict) for spec in specs):
            _put(result, path, _merged([component.part_of(spec) for spec in specs], fields[component.name]))
            for condition in paths_of([component.enabled]):
                _put(result, condition, _first(value_at(spec, condition) for spec in specs))
    return result


def _put(result: Raw, path: Path, value: Any) -> None:
    *outer, last = path
    for field in outer:
        result = result.setdefault(field, {})
    result[last] = value


def _merged(parts: list[Raw], fields: tuple[str, ...]) -> Raw:
    """The first value of each field; arguments and the fields of security contexts are merged one by one."""
    values = {field: _first(part.get(field) for part in parts) for field in fields}
    if values.get("extraArgs"):
        arguments = [part["extraArgs"] for part in reversed(parts) if isinstance(part.get("extraArgs"), dict)]
        values["extraArgs"] = {flag: value for each in arguments for flag, value in each.items()}
    contexts = [part["securityContext"] for part in parts if isinstance(part.get("securityContext"), dict)]
    if contexts and isinstance(values.get("securityContext"), dict):
        merged = {field: _first(context.get(field) for context in contexts) for field in OWN_FIELDS}
        values["securityContext"] = {field: value for field, value in merged.items() if value is not None}
    return {field: value for field, value in values.items() if value is not None}


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)
