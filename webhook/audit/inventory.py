"""The objects of one cluster that an audit decides by, as a source of facts; pods are not among them.

From a live cluster, what a list did not have is read once more by itself, so that an object that was created meanwhile
counts, and so that a missing permission is named. From files, what is not there does not exist.
"""

import asyncio

import msgspec

from webhook.audit import foreign_mutations
from webhook.audit.foreign_mutations import ForeignMutations
from webhook.audit.storage import Storage
from webhook.audit.template_pod import CONTROLLERS
from webhook.cluster.live import LiveFacts
from webhook.facts import Absent, Fact, Found, Lookup, Names, NotServed, Ref, Resolved, Source, Unknown
from webhook.objects import KubeObject
from webhook.offline.file_facts import CLUSTER_SCOPED, POLICIES_REMOVED
from webhook.policy.custom_resources import GROUP
from webhook.policy.json_access import Raw, object_of
from webhook.policy.placed_fix import EditedResource

_STORAGE = frozenset({"PersistentVolumeClaim", "PersistentVolume", "CSIDriver"})

_SECONDS = 30.0
"""For the facts on one pod."""


class Inventory:
    """The objects of one cluster; `live` reads what is missing, None where there is nothing to read from.

    `unreadable` has by kind why objects are not known.
    """

    labels_suffice = False

    def __init__(self, minor: int, live: LiveFacts | None = None) -> None:
        self.minor = minor
        self.unreadable: dict[str, str] = {}
        self.storage = Storage(self.unreadable)
        self.resources: list[Raw] = []
        self._resources: dict[tuple[str, str, str], Raw] = {}
        self._source: Source = "live" if live else "file"
        self._live = live
        self._facts: dict[tuple[str, str, str, str], Fact] = {}
        self._mutations: list[Raw] = []
        self._foreign: ForeignMutations | None = None

    def add(self, thing: Raw) -> None:
        """Take one trimmed object that is no pod.

        Raises:
            msgspec.ValidationError: its metadata or spec has a shape that Kubernetes cannot have stored.

        """
        kind = str(thing.get("kind"))
        group = str(thing.get("apiVersion", "")).rpartition("/")[0]
        if kind in _STORAGE:
            self.storage.add(thing)
        elif kind in foreign_mutations.KINDS:
            self._mutations.append(thing)
        elif kind in CLUSTER_SCOPED or group in {GROUP, "apps"}:
            self._add_fact(group, kind, thing)
        if group == GROUP:
            metadata = metadata_of(thing)
            place = kind, str(metadata.get("namespace") or "default"), str(metadata.get("name"))
            self._resources[place] = thing
            self.resources.append(thing)

    def _add_fact(self, group: str, kind: str, thing: Raw) -> None:
        known = msgspec.convert(thing, KubeObject)
        namespace = "" if kind in CLUSTER_SCOPED else known.metadata.namespace or "default"
        self._facts[group, kind, namespace, known.metadata.name or ""] = Found(known, self._source)

    def namespaces(self) -> list[str]:
        """The names of the namespaces that were listed."""
        return sorted(name for _, kind, _, name in self._facts if kind == "Namespace")

    def controllers(self) -> dict[str, list[Ref]]:
        """The controllers of pods that a resource of the operator owns, by the UID of the owner."""
        found: dict[str, list[Ref]] = {}
        for (group, kind, namespace, name), fact in sorted(self._facts.items(), key=lambda each: each[0]):
            if group == "apps" and kind in CONTROLLERS and isinstance(fact, Found):
                for owner in fact.object.metadata.owner_references or ():
                    if owner.controller and owner.group == GROUP:
                        found.setdefault(owner.uid, []).append(Ref(group, "v1", kind, namespace, name))
        return found

    def owner_for_pod(self, ref: Ref, controller: KubeObject) -> Raw:
        """The owner reference of a new pod of a controller; a Deployment gets a ReplicaSet for it."""
        reference = {"apiVersion": "apps/v1", "kind": ref.kind, "name": ref.name, "controller": True}
        reference["uid"] = controller.metadata.uid
        if ref.kind != "Deployment":
            return reference
        metadata = {"name": f"{ref.name}-next", "namespace": ref.namespace, "uid": f"next-{controller.metadata.uid}"}
        made = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {**metadata, "ownerReferences": [reference]}}
        self._add_fact("apps", "ReplicaSet", made)
        return {**reference, "kind": "ReplicaSet", "name": metadata["name"], "uid": metadata["uid"]}

    def controller(self, ref: Ref) -> KubeObject | None:
        """A controller as it was read; its spec is None where only its metadata were."""
        fact = self._facts.get((ref.group, ref.kind, ref.namespace, ref.name))
        return fact.object if isinstance(fact, Found) else None

    def resource(self, target: EditedResource) -> Raw | None:
        """A resource of the operator as far as an audit reads it, None where it was not listed."""
        return self._resources.get((target.kind, target.namespace, target.name))

    @property
    def foreign(self) -> ForeignMutations:
        """The mutating webhooks and policies of others."""
        if self._foreign is None:
            self._foreign = ForeignMutations(self._mutations)
        return self._foreign

    async def labels_of(self, namespace: str) -> dict[str, str | None] | None:
        """The labels of a namespace; None where they are not known."""
        lookup = Lookup(Ref("", "v1", "Namespace", "", namespace))
        fact = self.cached(lookup) or await self.get(lookup, asyncio.get_running_loop().time() + _SECONDS)
        if isinstance(fact, Found):
            return fact.object.metadata.labels or {}
        in_file = isinstance(fact, Absent) and fact.source == "file" and "Namespace" not in self.unreadable
        return {} if in_file else None

    def why_no_labels(self, namespace: str) -> str:
        """Why `labels_of` did not find the labels of a namespace."""
        fact = self._facts.get(("", "Namespace", "", namespace))
        if isinstance(fact, Unknown):
            return fact.reason
        return self.unreadable.get("Namespace", "it does not exist")

    def cached(self, lookup: Lookup | Names) -> Resolved | None:
        """The answer that is known without a request."""
        ref = lookup.ref
        if isinstance(lookup, Names):
            return tuple(sorted(key[3] for key in self._facts if key[:3] == (ref.group, ref.kind, ref.namespace)))
        if ref.kind == "PodSecurityPolicy" and self.minor >= POLICIES_REMOVED:
            return NotServed(self._source)
        found = self._facts.get((ref.group, ref.kind, ref.namespace, ref.name))
        if found is None and self._live is None:
            return Absent("file")
        return found

    async def get(self, lookup: Lookup | Names, deadline: float) -> Resolved:
        """As `cached`, else read from the cluster, once."""
        known = self.cached(lookup)
        if known is not None or self._live is None:
            return known or Absent("file")
        ref = lookup.ref
        fact = await self._live.get(ref, deadline)
        self._facts[ref.group, ref.kind, ref.namespace, ref.name] = fact
        return fact


def metadata_of(thing: Raw) -> Raw:
    """The metadata of an object."""
    return object_of(thing.get("metadata"))
