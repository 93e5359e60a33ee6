"""Files as a FactSource: it knows only the objects in them, so every answer is cached."""

from collections.abc import Iterable
from typing import Any

import msgspec

from webhook.facts import Absent, Fact, Found, Lookup, Names, NotServed, Ref, Resolved, Unknown
from webhook.objects import KubeObject
from webhook.text import LONGEST_QUOTE, mismatch, one_line, quoted

POLICIES_REMOVED = 25
"""The Kubernetes 1.x minor version that no longer serves PodSecurityPolicies."""

_LONGEST = 300
"""Most characters of the error on an object."""

CLUSTER_SCOPED = frozenset({"Namespace", "PodSecurityPolicy"})
"""Kinds of facts that belong to no namespace."""


class ObjectError(ValueError):
    """A fact with the wrong shape; the text names the object and what is wrong."""


def known_object(raw: dict[str, Any]) -> KubeObject:
    """An object with the fields that decisions read.

    Raises:
        ObjectError: Kubernetes could not have stored its metadata or spec.

    """
    try:
        return msgspec.convert(raw, KubeObject)
    except msgspec.ValidationError as error:
        name = raw.get("metadata", {}).get("name", "") if isinstance(raw.get("metadata"), dict) else ""
        text = f"{one_line(raw.get('kind', ''), LONGEST_QUOTE)} {quoted(name)}: {one_line(mismatch(error), _LONGEST)}"
        raise ObjectError(text) from None


class FileFacts:
    """Facts from objects in files; of two with one name, the last counts.

    If the objects are `complete`, any other object does not exist. If they are not (no owner was given), any other
    object is unknown, and only labels can decide on pods.
    """

    def __init__(self, objects: Iterable[dict[str, Any]], minor: int, *, complete: bool = True) -> None:
        """Index objects by group, kind, namespace and name.

        Raises:
            ObjectError: Kubernetes could not have stored metadata or spec of an object.

        """
        self.minor = minor
        self.labels_suffice = not complete
        self._found: dict[tuple[str, str, str, str], Found] = {}
        for raw in objects:
            self._add(raw)

    def _add(self, raw: dict[str, Any]) -> None:
        known, kind = known_object(raw), raw.get("kind", "")
        group = str(raw.get("apiVersion", "")).rpartition("/")[0]
        namespace = "" if kind in CLUSTER_SCOPED else known.metadata.namespace or "default"
        self._found[group, kind, namespace, known.metadata.name or ""] = Found(known, "file")

    def cached(self, lookup: Lookup | Names) -> Resolved:
        """The answer of the files."""
        return self._names(lookup.ref) if isinstance(lookup, Names) else self._fact(lookup.ref)

    async def get(self, lookup: Lookup | Names, deadline: float) -> Resolved:  # noqa: ARG002 - the protocol's shape
        """The same as `cached`."""
        return self.cached(lookup)

    def _fact(self, ref: Ref) -> Fact:
        """The fact on one object; NotServed for PodSecurityPolicies if Kubernetes no longer has them."""
        if ref.kind == "PodSecurityPolicy" and self.minor >= POLICIES_REMOVED:
            return NotServed("file")
        found = self._found.get((ref.group, ref.kind, ref.namespace, ref.name))
        if found is not None:
            return found
        return Unknown("no objects were given", "file") if self.labels_suffice else Absent("file")

    def _names(self, ref: Ref) -> tuple[str, ...]:
        return tuple(sorted(key[3] for key in self._found if key[:3] == (ref.group, ref.kind, ref.namespace)))
