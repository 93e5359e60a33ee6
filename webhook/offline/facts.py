"""Files as a FactSource: the objects that were given are all there is. Looks up in memory; never waits."""

from collections.abc import Iterable
from typing import Any

import msgspec

from webhook.facts import Absent, Fact, Found, NotServed, Ref, Unknown
from webhook.objects import KubeObject

POLICIES_REMOVED = 25
"""The Kubernetes 1.x minor version that no longer serves PodSecurityPolicies."""

_CLUSTER_SCOPED = frozenset({"Namespace", "PodSecurityPolicy"})


class ObjectError(ValueError):
    """An object given as a fact that has the wrong shape; the text says which and what is wrong."""


class FileFacts:
    """Facts from objects as they stand in files; of two of one name, the last counts."""

    labels_suffice = False

    def __init__(self, objects: Iterable[dict[str, Any]], minor: int) -> None:
        """Index objects by group, kind, namespace and name.

        Raises:
            ObjectError: metadata or spec of an object is not what Kubernetes could have stored.

        """
        self.minor = minor
        self._objects: dict[tuple[str, str, str, str], KubeObject] = {}
        for raw in objects:
            self.add(raw)

    def add(self, raw: dict[str, Any]) -> None:
        """Take one object more."""
        kind = raw.get("kind", "")
        try:
            known = msgspec.convert(raw, KubeObject)
        except msgspec.ValidationError as error:
            name = raw.get("metadata", {}).get("name", "") if isinstance(raw.get("metadata"), dict) else ""
            raise ObjectError(f"{kind} {name!r}: {error}") from None
        group = str(raw.get("apiVersion", "")).rpartition("/")[0]
        namespace = "" if kind in _CLUSTER_SCOPED else known.metadata.namespace or "default"
        self._objects[group, kind, namespace, known.metadata.name or ""] = known

    def __len__(self) -> int:
        return len(self._objects)

    async def get(self, ref: Ref, deadline: float) -> Fact:  # noqa: ARG002 - the protocol's shape
        """Found or Absent; NotServed for PodSecurityPolicies where Kubernetes no longer has them."""
        if ref.kind == "PodSecurityPolicy" and self.minor >= POLICIES_REMOVED:
            return NotServed("file")
        known = self._objects.get((ref.group, ref.kind, ref.namespace, ref.name))
        return Absent("file") if known is None else Found(known, "file")

    async def names(self, ref: Ref, deadline: float) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's shape
        """Names of the given objects of one kind and namespace, sorted."""
        return tuple(sorted(key[3] for key in self._objects if key[:3] == (ref.group, ref.kind, ref.namespace)))


class NoFacts:
    """The source that was given nothing: pods are judged by their labels, and nothing else is known."""

    labels_suffice = True

    def __init__(self, minor: int) -> None:
        self.minor = minor

    async def get(self, ref: Ref, deadline: float) -> Fact:  # noqa: ARG002 - the protocol's shape
        """Unknown, but for PodSecurityPolicies where Kubernetes no longer has them."""
        if ref.kind == "PodSecurityPolicy" and self.minor >= POLICIES_REMOVED:
            return NotServed("file")
        return Unknown("no objects were given", "file")

    async def names(self, ref: Ref, deadline: float) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's shape
        return ()
