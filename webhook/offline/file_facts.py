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
    """Facts from objects as they stand in files; of two of one name, the last counts.

    When the objects are `complete`, one that is not among them does not exist. When they are not (no owner was given),
    it is unknown, and pods can be judged by their labels only.
    """

    def __init__(self, objects: Iterable[dict[str, Any]], minor: int, *, complete: bool = True) -> None:
        """Index objects by group, kind, namespace and name.

        Raises:
            ObjectError: metadata or spec of an object is not what Kubernetes could have stored.

        """
        self.minor = minor
        self.labels_suffice = not complete
        self._found: dict[tuple[str, str, str, str], Found] = {}
        for raw in objects:
            self._add(raw)

    def _add(self, raw: dict[str, Any]) -> None:
        kind = raw.get("kind", "")
        try:
            known = msgspec.convert(raw, KubeObject)
        except msgspec.ValidationError as error:
            name = raw.get("metadata", {}).get("name", "") if isinstance(raw.get("metadata"), dict) else ""
            raise ObjectError(f"{kind} {name!r}: {error}") from None
        group = str(raw.get("apiVersion", "")).rpartition("/")[0]
        namespace = "" if kind in _CLUSTER_SCOPED else known.metadata.namespace or "default"
        self._found[group, kind, namespace, known.metadata.name or ""] = Found(known, "file")

    def at_hand(self, ref: Ref, generation: str = "") -> Fact:  # noqa: ARG002 - the protocol's shape
        """What the files say; NotServed for PodSecurityPolicies where Kubernetes no longer has them."""
        if ref.kind == "PodSecurityPolicy" and self.minor >= POLICIES_REMOVED:
            return NotServed("file")
        found = self._found.get((ref.group, ref.kind, ref.namespace, ref.name))
        if found is not None:
            return found
        return Unknown("no objects were given", "file") if self.labels_suffice else Absent("file")

    async def get(self, ref: Ref, deadline: float, generation: str = "", requester: str = "") -> Fact:  # noqa: ARG002 - so is it
        """As `at_hand`."""
        return self.at_hand(ref)

    async def names(self, ref: Ref, deadline: float, requester: str = "") -> tuple[str, ...]:  # noqa: ARG002 - so is it
        """Names of the given objects of one kind and namespace, sorted."""
        return tuple(sorted(key[3] for key in self._found if key[:3] == (ref.group, ref.kind, ref.namespace)))
