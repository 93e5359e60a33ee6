"""All watches of one cluster: which collections, in which namespaces, and whether they have been listed.

vmguard watches the metadata of owners, the fields of the operator's resources that decisions read, the labels of
Namespaces, and the names of PodSecurityPolicies. It follows a definition that appears, changes its version or
disappears. With WATCH_NAMESPACE it watches only those namespaces, and no object of the cluster. It calls its listeners
after a change of a resource or a policy.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from webhook.cluster.backoff import Backoff
from webhook.cluster.cache_share import ObjectKey
from webhook.cluster.client import Client
from webhook.cluster.collections import DEFINITIONS, JUDGED, NAMESPACES, PSP, WORKLOADS, Collection, custom
from webhook.cluster.discovery import CONSTRAINTS_GROUP, Discovery
from webhook.cluster.reflector import Reflector
from webhook.facts import Ref
from webhook.objects import KubeObject, Metadata
from webhook.policy.custom_resources import GROUP
from webhook.policy.enforcement import coverage, not_allowed
from webhook.policy.projection import LARGEST_READ, ResourceTooLargeError, project, weight
from webhook.policy.workload import bounded_controller
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics
from webhook.text import one_line

ASK_AGAIN = 60.0
"""Seconds until discovery runs again if definitions cannot be watched, and until the next check of a permission."""

MOST_NAMED = 20
"""Most unreadable objects of a collection that readiness names; the log names all."""

_SETTLES = (0.3, 2.0, 6.0)
"""Seconds after a change of a definition at which discovery runs: the API server needs a moment to show the change."""

_NOTICED = (f".{GROUP}", f".{CONSTRAINTS_GROUP}")
"""Ends of the names of definitions that change what discovery answers."""

_COMPONENT = "app.kubernetes.io/name"
_OUR_LABELS = "vmguard"

CollectionPlace = tuple[str, str]
"""Kind and namespace ("" for all)."""


class Watching:
    """The reflectors of one cluster, run by `run`.

    `exempt` are the names of exempt namespaces, as far as Namespaces are watched.
    """

    def __init__(
        self, client: Client, discovery: Discovery, namespaces: tuple[str, ...], log: Log, metrics: Metrics
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._namespaces = namespaces or ("",)
        self.whole_cluster = not namespaces
        self._log = log
        self._metrics = metrics
        self._reflectors: dict[CollectionPlace, Reflector] = {}
        self._newer: dict[CollectionPlace, Reflector] = {}
        self._tasks: dict[Reflector, asyncio.Task[None]] = {}
        self._asking: list[asyncio.Task[None]] = []
        self._labels: dict[str, str] = {}
        self._definitions_changed = asyncio.Event()
        self.exempt: set[str] = set()
        self.changed = asyncio.Event()
        self.definitions_told = asyncio.Event()
        self._complete = False

    async def run(self) -> None:
        """Watch until this is cancelled."""
        try:
            await self._discovery.learn()
            for resource in WORKLOADS:
                self._start(resource, _owner)
            if self.whole_cluster:
                self._start(NAMESPACES, _labelled, self._namespace)
                self._start(DEFINITIONS, _named, self._definition)
                if self._discovery.serves_policies:
                    self._start(PSP, _named, self._tell)
            else:  # vmguard reads the labels live, unless the path of the request shows the level
                asking = [self._ask_for_look_ups(NAMESPACES, namespace) for namespace in self._namespaces]
                self._asking = [asyncio.create_task(each) for each in asking]
            while True:
                self._follow()
                await self._until_definitions_change()
                await self._discovery.learn()
        finally:
            tasks = [*self._tasks.values(), *self._asking]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def synced(self) -> None:
        """Wait until everything that decisions depend on has been listed once."""
        while self.missing():  # noqa: ASYNC110 - many events, of reflectors that come and go
            await asyncio.sleep(0.05)
        self._complete = True

    def find(self, ref: Ref) -> tuple[Reflector, KubeObject] | None:
        """The cached object, with its reflector."""
        reflector = self.of(ref)
        found = reflector.objects.get((ref.namespace, ref.name)) if reflector else None
        return (reflector, found) if reflector and found else None

    def knows(self, ref: Ref) -> bool:
        """Whether this object is cached, with the same UID."""
        found = self.find(ref)
        return found is not None and found[1].metadata.uid == ref.uid

    def of(self, ref: Ref) -> Reflector | None:
        """The reflector that would cache an object."""
        return self._reflectors.get((ref.kind, ref.namespace)) or self._reflectors.get((ref.kind, ""))

    def customs(self) -> Iterator[tuple[Collection, KubeObject]]:
        """Every cached object of the operator's kinds, with its collection."""
        for reflector in self._reflectors.values():
            if reflector.resource.group == GROUP:
                for found in reflector.objects.values():
                    yield reflector.resource, found

    def mislabelled(self) -> Mapping[str, str]:
        """The namespaces with a label value that is not allowed, and the reason, as far as Namespaces are watched."""
        return self._labels

    def missing(self) -> str:
        """The collections that decisions need and that were never listed, with the reason; "" for none.

        There are none once `synced`: vmguard reads a kind that appears later live until it is listed, and `troubles`
        has it.
        """
        if self._complete:
            return ""
        if self._discovery.serves_policies is None:  # discovery never worked; after it has, its last answer counts
            return self._discovery.trouble
        if not self._reflectors:
            return "nothing is watched yet"
        return "; ".join(
            f"{each}: {each.trouble}"
            for each in self._reflectors.values()
            if not each.synced.is_set() and each.resource not in {PSP, DEFINITIONS, NAMESPACES}
        )

    def troubles(self) -> dict[str, str]:
        """The current problem of each collection, by its name, "" for none; and the missing permissions."""
        collections = {str(each): each.trouble for each in self._reflectors.values()}
        unreadable = {
            f"{each.resource} {'/'.join(key)}": why
            for each in self._reflectors.values()
            for key, why in islice(each.unreadable.items(), MOST_NAMED)
        }
        permissions = self._discovery.permissions.missing
        return {"discovery": self._discovery.trouble} | collections | unreadable | permissions

    def _start(
        self,
        resource: Collection,
        keep: Callable[[KubeObject], KubeObject],
        changed: Callable[[ObjectKey, KubeObject | None], None] | None = None,
        weigh: Callable[[KubeObject], int] | None = None,
    ) -> None:
        for namespace in self._namespaces if resource.namespaced else ("",):
            place = (resource.kind, namespace)
            reflector = Reflector(self._client, resource, namespace, keep, self._log, changed, weigh)
            if place in self._reflectors:  # another version of a kind: the old one serves until the new one is listed
                self._newer[place] = reflector
            else:
                self._reflectors[place] = reflector
            self._tasks[reflector] = asyncio.create_task(self._run(place, reflector))
            labels = (str(resource), namespace)
            self._metrics.cached.labels(*labels).set_function(partial(self._count, place))
            self._metrics.watched.labels(*labels).set_function(partial(self._is_watched, place))

    async def _run(self, place: CollectionPlace, reflector: Reflector) -> None:
        backoff, loop = Backoff(1.0), asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(reflector.run())
                    tasks.create_task(self._take_over(place, reflector))
                    if reflector.resource is not DEFINITIONS:  # no decision looks these up
                        tasks.create_task(self._ask_for_look_ups(reflector.resource, reflector.namespace))
            except* Exception as errors:  # noqa: BLE001 - one collection that fails must not end the others
                why = one_line(repr(errors.exceptions[0]), 500)
                reflector.trouble = f"vmguard's own fault: {why}"
                self._log.write("error", "reflector failed", resource=str(reflector), error=why)
            await asyncio.sleep(backoff.after(loop.time() - began))

    async def _take_over(self, place: CollectionPlace, reflector: Reflector) -> None:
        """Replace an older reflector as soon as this one has listed everything."""
        await reflector.synced.wait()
        if self._newer.get(place) is reflector:
            del self._newer[place]
            older, self._reflectors[place] = self._reflectors[place], reflector
            self._stop(older)

    async def _ask_for_look_ups(self, resource: Collection, namespace: str) -> None:
        """Check whether vmguard may read the collection's objects one by one; repeat while it may not."""
        permissions = self._discovery.permissions
        while True:
            await permissions.ask(self._client, "get", resource, namespace)
            while True:
                await asyncio.sleep(ASK_AGAIN)
                if permissions.lacks("get", resource):
                    break

    def _stop(self, reflector: Reflector) -> None:
        task = self._tasks.pop(reflector, None)
        if task is not None:
            task.cancel()

    def _follow(self) -> None:
        """Start and stop reflectors of the operator's kinds by what the API server serves now."""
        served = self._discovery.versions
        for kind in JUDGED:
            current = [each for place, each in self._reflectors.items() if place[0] == kind]
            newest = [each for place, each in self._newer.items() if place[0] == kind] or current
            if newest and newest[0].resource.version == served.get(kind):
                continue
            for places in (self._newer,) if kind in served else (self._newer, self._reflectors):
                for place in [place for place in places if place[0] == kind]:
                    gone = places.pop(place)
                    self._stop(gone)
                    if places is self._reflectors:
                        for gauge in (self._metrics.cached, self._metrics.watched):
                            gauge.remove(str(gone.resource), gone.namespace)
            if kind in served:
                self._start(custom(kind, served[kind]), partial(_resource, kind), self._tell, _weight)

    def _tell(self, _key: ObjectKey, _found: KubeObject | None) -> None:
        self.changed.set()

    def _count(self, place: CollectionPlace) -> float:
        """The number of cached objects."""
        reflector = self._reflectors.get(place)
        return float(len(reflector.objects)) if reflector else 0.0

    def _is_watched(self, place: CollectionPlace) -> float:
        """Whether the cached objects are being watched now."""
        reflector = self._reflectors.get(place)
        return float(reflector is not None and not reflector.trouble)

    def _definition(self, key: ObjectKey, _: KubeObject | None) -> None:
        if key[1].endswith(_NOTICED):
            self._definitions_changed.set()
        if key[1].endswith(f".{GROUP}"):
            self.definitions_told.set()

    def _namespace(self, key: ObjectKey, found: KubeObject | None) -> None:
        """Record the labels of a namespace: whether it is exempt, and values that are not allowed.

        vmguard reports such values before they deny a pod or leave a namespace without enforcement.
        """
        labels = (found.metadata.labels or {}) if found else {}
        unknown = not_allowed(labels)
        self._labels.pop(key[1], None)
        self.exempt.discard(key[1])
        if _is_exempt(key[1], labels):
            self.exempt.add(key[1])
        if unknown:
            self._labels[key[1]] = unknown
            self._log.write("warning", "namespace label not known", namespace=key[1], reason=unknown)

    async def _until_definitions_change(self) -> None:
        watched = self._reflectors.get((DEFINITIONS.kind, ""))
        while watched is not None and not watched.trouble:
            try:
                async with asyncio.timeout(ASK_AGAIN):
                    await self._definitions_changed.wait()
            except TimeoutError:
                continue
            self._definitions_changed.clear()
            for seconds in _SETTLES:
                await asyncio.sleep(seconds)
                before = dict(self._discovery.versions)
                await self._discovery.learn()
                if self._discovery.versions != before:
                    return
        await asyncio.sleep(ASK_AGAIN if watched is None else 1.0)


def _owner(found: KubeObject) -> KubeObject:
    """What to cache of an owner: its UID, its controller, and the label that names its component."""
    label = (found.metadata.labels or {}).get(_COMPONENT)
    return KubeObject(_kept(found, labels={_COMPONENT: label} if label else None))


def _labelled(found: KubeObject) -> KubeObject:
    """A Namespace with vmguard's labels only, because all its labels can be a megabyte."""
    labels = {name: value for name, value in (found.metadata.labels or {}).items() if name.startswith(_OUR_LABELS)}
    return KubeObject(_kept(found, labels=labels or None))


def _is_exempt(name: str, labels: Mapping[str, str | None]) -> bool:
    return coverage("enforce", name, labels) == "exempt"


def _named(found: KubeObject) -> KubeObject:
    """Name and version of an object: vmguard watches nothing else of it, and a new version may have new content."""
    return KubeObject(_kept(found, resource_version=found.metadata.resource_version))


def _resource(kind: str, found: KubeObject) -> KubeObject:
    spec = project(kind, found.spec)
    if weight(spec) > LARGEST_READ:
        raise ResourceTooLargeError(f"what decisions read of it weighs more than {LARGEST_READ}")
    return KubeObject(_kept(found), spec)


def _weight(kept: KubeObject) -> int:
    return weight(kept.spec)


def _kept(found: KubeObject, **more: Any) -> Metadata:
    meta = found.metadata
    controller = bounded_controller(meta)
    owners = [controller] if controller else None
    return Metadata(name=meta.name, namespace=meta.namespace, uid=meta.uid, owner_references=owners, **more)
