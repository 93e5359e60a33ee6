"""The source of a predicted pod's field in the object that a person applies. Pure.

The source is one container of the resource's lists or the component's own context. In a parent it is one of these in a
zone or in zoneCommon. A person must correct a violation there, because the predicted pod does not exist.
"""

import re
from typing import Any

import msgspec

from webhook.facts import Ref
from webhook.policy.findings import Violation
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.posture import Posture, Setting
from webhook.policy.preview.predicted_pod import PredictedPod
from webhook.policy.preview.resource_pods import place_in_parent
from webhook.policy.wording import complaint, dotted

CONTEXT = "securityContext"
_FIELDS = (CONTEXT, "containers", "initContainers")
_HOLDER = re.compile(rf"/spec(?:/(containers|initContainers)/(\d+))?/{CONTEXT}")
_IN_CONTAINER = re.compile(r"\bspec\.(containers|initContainers)[.\[](\d{1,4})\]?\.securityContext\.(\w+(?:\.\w+)?)")


class SourceMap(msgspec.Struct, frozen=True):
    """The parts of the applied object that a predicted pod comes from: place and content, the most specific first.

    `containers` has place and context of each container that a part lists, by list and name.
    """

    applied: Ref
    predicted: PredictedPod
    parts: tuple[tuple[str, Raw], ...]
    containers: dict[tuple[str, str], tuple[str, Raw]]

    @property
    def component(self) -> str:
        """The pod's component as the applied object has it: `vmselect`, `zones[a].vmcluster.vmselect`."""
        workload = self.predicted.workload
        if workload.kind == self.applied.kind or workload.parentage.layers is None:
            return workload.component.name
        return place_in_parent(self.applied, workload)

    @property
    def places(self) -> tuple[str, ...]:
        """The places of all parts that set a field that is looked up here: they decide every text."""
        return tuple(place for place, part in self.parts if any(part.get(field) is not None for field in _FIELDS))

    def context_of(self, path: str, field: str) -> str | None:
        """The place of the context that sets a field at that JSON pointer; None where the operator itself does."""
        holder = _HOLDER.fullmatch(path)
        if holder is None or holder[1] is None:
            return self._context("", "", field)
        container = self.predicted.spec[holder[1]][int(holder[2])]
        return self._context(holder[1], str(container["name"]), field)

    def located(self, posture: Posture) -> Posture:
        """The posture with the place of the resource's own context in the applied object."""
        if posture.security_context != "custom":
            return posture
        place = f"{_first(self.parts, CONTEXT)[0]}.{CONTEXT}"
        return msgspec.structs.replace(posture, context_setting=Setting(place, posture.context_setting.word))

    def complaint(self, violation: Violation) -> str:
        """What someone must correct, and where; a field that is missing has no place in the applied object."""
        return complaint(violation, self._place_of(dotted(violation.path), present=violation.found is not None))

    def text(self, text: str) -> str:
        """A text with the places of the predicted pod as those of the applied object.

        The text may quote names from the object, which may look like any place.
        """
        return _IN_CONTAINER.sub(lambda match: self._place_of(match[0]), text)

    def _context(self, group: str, container: str, field: str) -> str | None:
        """The place of the context that sets a field of that container, or of the pod for ""; None for none."""
        place, context = self.containers.get((group, container), ("", {}))
        if _sets(context, field):
            return place
        places = (place for place, part in self.parts if _sets(object_of(part.get(CONTEXT)), field))
        return next((f"{place}.{CONTEXT}" for place in places), None)

    def _place_of(self, path: str, *, present: bool = True) -> str:
        found = _IN_CONTAINER.fullmatch(path)
        spec = self.predicted.spec
        if found:
            group, index, field = found.groups()
            if int(index) >= len(spec[group]):
                return path
            name = str(spec[group][int(index)]["name"])
            place = self._context(group, name, field) if present else None
            return f"{self._short(place)}.{field}" if place else f"{CONTEXT}.{field} of container {name!r}"
        volume = re.fullmatch(r"spec\.volumes\[(\d+)\]\.name", path)
        if volume:
            return f"volumes[{spec['volumes'][int(volume[1])].get('name')}]"
        pod = path.removeprefix(f"spec.{CONTEXT}.")
        if pod == path:
            return path
        place = self._context("", "", pod) if present else None
        return f"{self._short(place)}.{pod}" if place else f"{CONTEXT}.{pod} of the pod"

    def _short(self, place: str) -> str:
        """A place without what `component` names already."""
        own = self.parts[0][0] + "."
        return place.removeprefix(own) if len(self.parts) == 1 else self._within(place)

    def _within(self, place: str) -> str:
        return place.removeprefix(f"{self.applied} spec.")


def source_map_of(applied: Ref, predicted: PredictedPod) -> SourceMap:
    """The source map of one predicted pod of an applied object."""
    workload = predicted.workload
    layers = workload.parentage.layers if workload.kind != applied.kind else None
    specs: tuple[tuple[str, Raw], ...] = layers or ((f"{applied} spec", workload.spec),)
    path = workload.component.path[1:]
    parts = tuple((".".join((place, *path)), workload.component.part_of(spec)) for place, spec in specs)
    containers = {}
    for group in ("containers", "initContainers"):
        place, part = _first(parts, group)
        for each in objects_of(part.get(group)):
            name = str(each.get("name"))
            containers[group, name] = (f"{place}.{group}[{name}].{CONTEXT}", object_of(each.get(CONTEXT)))
    return SourceMap(applied, predicted, parts, containers)


def _first(parts: tuple[tuple[str, Raw], ...], field: str) -> tuple[str, Raw]:
    """The part whose value of a field counts."""
    return next((each for each in parts if each[1].get(field) is not None), parts[-1])


def _sets(context: Raw, path: str) -> bool:
    value: Any = context
    for field in path.split("."):
        value = object_of(value).get(field)
    return value is not None
