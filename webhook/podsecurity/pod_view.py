"""A raw pod as the checks read it: plain JSON in, never an exception out.

A value of a type that Kubernetes could not decode into its field counts as absent: the API server refuses such a pod
anyway. Null is absent too, except in a list, where it decodes into an empty element. Nested objects are plain dicts,
as a JSON decoder makes them; nothing here changes them, and nothing here judges.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]

_EMPTY: Json = {}
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def object_at(parent: Json, key: str) -> Json | None:
    """The object there, None without one; an empty object is there."""
    value = parent.get(key)
    return value if isinstance(value, dict) else None


def objects_at(parent: Json, key: str) -> list[Json]:
    """The objects of the list there."""
    value = parent.get(key)
    if not isinstance(value, list):
        return []
    return [_EMPTY if item is None else item for item in value if item is None or isinstance(item, dict)]


def string_at(parent: Json, key: str) -> str:
    """The string there, "" without one."""
    value = parent.get(key)
    return value if isinstance(value, str) else ""


def strings_at(parent: Json, key: str) -> list[str]:
    """The strings of the list there."""
    value = parent.get(key)
    if not isinstance(value, list):
        return []
    return ["" if item is None else item for item in value if item is None or isinstance(item, str)]


def integer_at(parent: Json, key: str, bits: int) -> int | None:
    """The integer of that many bits there; True is no 1, 0.0 is no 0, and what does not fit is no integer."""
    value = parent.get(key)
    if type(value) is not int or not -(1 << bits - 1) <= value < 1 << bits - 1:
        return None
    return value


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A container of any kind; `security` is its `securityContext`."""

    name: str
    fields: Json
    security: Json


@dataclass(frozen=True, slots=True)
class PodView:
    """The parts of a pod that checks share; `security` is the pod's own `securityContext`.

    The order of `containers` (init, regular, ephemeral) is the order of names in every detail.
    """

    annotations: Json
    spec: Json
    security: Json
    containers: tuple[ContainerView, ...]

    @property
    def windows(self) -> bool:
        """Whether it declares Windows, where Linux's security fields may not be set."""
        return string_at(object_at(self.spec, "os") or _EMPTY, "name") == "windows"

    @property
    def user_namespace(self) -> bool:
        """Whether it runs in a user namespace of its own, where root is an unprivileged user on the node."""
        return self.spec.get("hostUsers") is False


def read_pod(raw: object) -> PodView:
    """The pod in the raw object."""
    # The outermost object may be another Mapping than dict: a pod that is not read would pass every check.
    root: Json = raw if isinstance(raw, Mapping) else _EMPTY
    spec = object_at(root, "spec") or _EMPTY
    return PodView(
        annotations=object_at(object_at(root, "metadata") or _EMPTY, "annotations") or _EMPTY,
        spec=spec,
        security=object_at(spec, "securityContext") or _EMPTY,
        containers=tuple(
            ContainerView(string_at(fields, "name"), fields, object_at(fields, "securityContext") or _EMPTY)
            for kind in _CONTAINER_LISTS
            for fields in objects_at(spec, kind)
        ),
    )
