"""Where, in the object that a person applies, the words stand that a sketched pod came of. Pure.

A pod's field came of one container of the resource's lists, of the component's own context, or, in a parent, of either
in a zone or in zoneCommon. Who reads of a fault looks for it there, not in a pod that does not exist.
"""

import re
from typing import Any

import msgspec

from webhook.facts import Ref
from webhook.policy.findings import Violation
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.posture import Posture, Setting
from webhook.policy.preview.prediction import PredictedPod
from webhook.policy.wording import complaint, dotted

CONTEXT = "securityContext"
_SPEAKING = (CONTEXT, "containers", "initContainers")
_IN_CONTAINER = re.compile(r"\bspec\.(containers|initContainers)[.\[](\d{1,4})\]?\.securityContext\.(\w+(?:\.\w+)?)")


class SourceMap(msgspec.Struct, frozen=True):
    """Of one sketch: place and content of each part of the object applied that speaks of it, most special first.

    `containers` has place and context of each container that a part lists, by list and name.
    """

    applied: Ref
    drawn: PredictedPod
    parts: tuple[tuple[str, Raw], ...]
    containers: dict[tuple[str, str], tuple[str, Raw]]

    @property
    def who(self) -> str:
        """The pod's component as the object applied has it: `vmselect`, `zones[a].vmcluster.vmselect`."""
        workload = self.drawn.workload
        if workload.kind == self.applied.kind or workload.parentage.layers is None:
            return workload.component.name
        return self._within(self.parts[0][0]).replace(".spec", "")

    @property
    def speaking(self) -> tuple[str, ...]:
        """The places that say anything that is looked up here: where they are the same, all comes out the same."""
        return tuple(place for place, part in self.parts if any(part.get(field) is not None for field in _SPEAKING))

    def context(self, group: str, container: str, field: str) -> str | None:
        """The context that says a field of that container, or of the pod for ""; None where the operator does."""
        place, context = self.containers.get((group, container), ("", {}))
        if _says(context, field):
            return place
        places = (place for place, part in self.parts if _says(object_of(part.get(CONTEXT)), field))
        return next((f"{place}.{CONTEXT}" for place in places), None)

    def asked(self, posture: Posture) -> Posture:
        """The posture with the resource's own words where they stand in the object applied."""
        if posture.security_context != "custom":
            return posture
        place = f"{_first(self.parts, CONTEXT)[0]}.{CONTEXT}"
        return msgspec.structs.replace(posture, context_setting=Setting(place, posture.context_setting.word))

    def complaint(self, violation: Violation) -> str:
        """What someone must mend, and where; what is missing has no word in the object applied."""
        return complaint(violation, self._in_words(dotted(violation.path), said=violation.found is not None))

    def text(self, text: str) -> str:
        """A text with the places of the sketched pod as those of the object applied.

        The text may quote names of the object's own, which may look like any place.
        """
        return _IN_CONTAINER.sub(lambda match: self._in_words(match[0]), text)

    def _in_words(self, path: str, *, said: bool = True) -> str:
        found = _IN_CONTAINER.fullmatch(path)
        spec = self.drawn.pod["spec"]
        if found:
            group, index, field = found.groups()
            if int(index) >= len(spec[group]):
                return path
            name = str(spec[group][int(index)]["name"])
            place = self.context(group, name, field) if said else None
            return f"{self._short(place)}.{field}" if place else f"{CONTEXT}.{field} of container {name!r}"
        volume = re.fullmatch(r"spec\.volumes\[(\d+)\]\.name", path)
        if volume:
            return f"volumes[{spec['volumes'][int(volume[1])].get('name')}]"
        pod = path.removeprefix(f"spec.{CONTEXT}.")
        if pod == path:
            return path
        place = self.context("", "", pod) if said else None
        return f"{self._short(place)}.{pod}" if place else f"{CONTEXT}.{pod} of the pod"

    def _short(self, place: str) -> str:
        """A place without what `who` says already."""
        own = self.parts[0][0] + "."
        return place.removeprefix(own) if len(self.parts) == 1 else self._within(place)

    def _within(self, place: str) -> str:
        return place.removeprefix(f"{self.applied} spec.")


def source_map_of(applied: Ref, drawn: PredictedPod) -> SourceMap:
    """The places of one sketch of an object."""
    workload = drawn.workload
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
    return SourceMap(applied, drawn, parts, containers)


def _first(parts: tuple[tuple[str, Raw], ...], field: str) -> tuple[str, Raw]:
    """The part whose word on a field counts."""
    return next((each for each in parts if each[1].get(field) is not None), parts[-1])


def _says(context: Raw, path: str) -> bool:
    value: Any = context
    for field in path.split("."):
        value = object_of(value).get(field)
    return value is not None
