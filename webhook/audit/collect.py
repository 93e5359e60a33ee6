"""Reads what an audit needs from a live cluster, by get and list alone.

Everything but pods is listed first, then pods come page by page, so memory holds one page of them. What is forbidden is
reported with the rule that would allow it, and the rest goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import msgspec

from webhook.audit.inventory import Inventory, metadata_of
from webhook.audit.odd_objects import BROKEN, broken
from webhook.audit.report import MissingPermission
from webhook.audit.trimmed import trimmed
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import (
    JSON,
    MUTATING_CONFIGURATIONS,
    MUTATING_POLICIES,
    NAMESPACES,
    PODS,
    PSP,
    WORKLOADS,
    Collection,
    InvalidNameError,
    custom,
)
from webhook.cluster.discovery import Discovery
from webhook.cluster.listing import FAILURES, ExpiredError, NotAllowedError, pages
from webhook.cluster.live import LiveFacts
from webhook.cluster.permission import advised_rule, without_advice
from webhook.cluster.running_pods import OTHERS, running
from webhook.cluster.status import reason
from webhook.facts import Ref
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.custom_resources import GROUP
from webhook.policy.json_access import Raw

CLAIMS = Collection("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", metadata_only=False)
VOLUMES = Collection("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False, metadata_only=False)
DRIVERS = Collection("storage.k8s.io", "v1", "CSIDriver", "csidrivers", namespaced=False, metadata_only=False)

OF_CLUSTER = (NAMESPACES, VOLUMES, DRIVERS, MUTATING_CONFIGURATIONS)
"""What is listed of the cluster. Without it an audit of some namespaces goes on, and knows less."""

_ATTEMPTS = 3
_SECONDS = 30.0
"""For one object."""

Report = Callable[[str], None]


class AuditScope(msgspec.Struct, frozen=True):
    """What is audited: namespaces, none for all, and a label selector of pods, "" for none."""

    namespaces: tuple[str, ...] = ()
    selector: str = ""


class ClusterReader:
    """Reads one cluster. `missing` is what may not be read, `broken` what cannot; `save` gets each trimmed object."""

    def __init__(
        self,
        client: Client,
        discovery: Discovery,
        cluster: str,
        scope: AuditScope,
        progress: Report,
        save: Callable[[Raw], None],
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._cluster = cluster
        self._namespaces = scope.namespaces
        self._selector = scope.selector
        self._progress = progress
        self._save = save
        self._owners: set[tuple[str, str, str, str]] = set()
        self.missing: list[MissingPermission] = []
        self.broken: list[str] = []
        self.inventory = Inventory(discovery.minor, LiveFacts(client, discovery, scope.namespaces))

    async def read_objects(self) -> None:
        """Read everything but pods into the inventory."""
        for collection in OF_CLUSTER:
            await self._read_of_cluster(collection)
        if self._discovery.serves_policies:
            await self._read_of_cluster(PSP)
        for each in MUTATING_POLICIES:
            await self._read_where_served(each)
        kinds = [kind for kind in self._discovery.versions if kind in BY_KIND or kind in PARENTS]
        resources = [custom(kind, self._discovery.versions[kind]) for kind in sorted(kinds)]
        for collection in (*resources, *WORKLOADS, CLAIMS):
            await self._read_of_namespaces(collection)

    async def pods(self) -> AsyncIterator[tuple[Raw, Raw]]:
        """Each running pod that may be the operator's, trimmed and whole."""
        for namespace in await self._places():
            try:
                count = 0
                async for _, raw in running(self._client, (namespace,), self._is_owner, self._selector):
                    count += 1
                    if count % 100 == 0:
                        self._progress(f"{count} pods read")
                    found = self._decoded(raw, "v1", "Pod")
                    if found is not None:
                        self._save(found[0])
                        yield found
            except FAILURES as error:
                self._lack(namespace, error)

    async def other_pods(self, namespace: str) -> AsyncIterator[Raw]:
        """Each running pod of a namespace without the operator's label, trimmed; none where they cannot be listed."""
        async for page in pages(self._client, PODS, namespace, OTHERS):
            for raw in page.items or ():
                if found := self._decoded(raw, "v1", "Pod"):
                    yield found[0]

    async def read_controller(self, ref: Ref) -> None:
        """Read all of a controller into the inventory, with its pod template; what may not be read is noted."""
        (collection,) = [each for each in WORKLOADS if each.kind == ref.kind]
        deadline = asyncio.get_running_loop().time() + _SECONDS
        try:
            status, body = await self._client.get(collection.path(ref.namespace, ref.name), JSON, deadline)
        except (UnreachableError, InvalidNameError) as error:
            self._lack(ref.namespace, error)
            return
        if status == 403:
            why = self._discovery.permissions.forbidden("get", collection, ref.namespace, reason(status, body))
            self._lack(ref.namespace, NotAllowedError(why))
        elif status == 200 and (found := self._decoded(msgspec.Raw(body), "apps/v1", ref.kind)):
            self._add(found[0], collection)

    async def _places(self) -> tuple[str, ...]:
        """The namespaces to list pods of, one by one: "" for all at once where that is allowed."""
        if self._namespaces:
            return self._namespaces
        try:
            async for _ in pages(self._client, msgspec.structs.replace(PODS, metadata_only=True)):
                break
        except NotAllowedError:
            return self._known_namespaces()
        except (ExpiredError, UnreachableError, msgspec.DecodeError):
            pass
        return ("",)

    def _known_namespaces(self) -> tuple[str, ...]:
        """All namespaces, and where they cannot be listed that of the context alone."""
        return tuple(self.inventory.namespaces()) or (self._client.namespace,)

    def _is_owner(self, ref: Ref) -> bool:
        return ref.group == GROUP or (ref.group, ref.kind, ref.namespace, ref.name) in self._owners

    async def _read_of_cluster(self, collection: Collection) -> None:
        try:
            await self._read(collection, "")
        except FAILURES as error:
            self._unreadable(collection, str(error))
            if collection is not NAMESPACES and not self._namespaces:  # a namespaced Role cannot grant it
                self._lack("", error)

    async def _read_where_served(self, collection: Collection) -> None:
        """Read what not every version of Kubernetes serves, in the version that is preferred."""
        try:
            version = await self._discovery.served_version(collection)
        except (UnreachableError, msgspec.DecodeError) as error:
            self._unreadable(collection, str(error))
            self._lack("", error)
            return
        if version:
            await self._read_of_cluster(msgspec.structs.replace(collection, version=version))

    async def _read_of_namespaces(self, collection: Collection) -> None:
        """Read a collection everywhere at once, else in each namespace that is known."""
        for namespace in self._namespaces:
            await self._read_alone(collection, namespace)
        if self._namespaces:
            return
        try:
            await self._read(collection, "")
        except NotAllowedError:
            for namespace in self._known_namespaces():
                await self._read_alone(collection, namespace)
        except FAILURES as error:
            self._unreadable(collection, str(error))
            self._lack("", error)

    async def _read_alone(self, collection: Collection, namespace: str) -> None:
        try:
            await self._read(collection, namespace)
        except FAILURES as error:
            self._unreadable(collection, str(error))
            self._lack(namespace, error)

    def _unreadable(self, collection: Collection, why: str) -> None:
        self.inventory.unreadable.setdefault(collection.kind, without_advice(why))

    async def _read(self, collection: Collection, namespace: str) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._read_once(collection, namespace)
            except ExpiredError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                return

    async def _read_once(self, collection: Collection, namespace: str) -> None:
        selector = f"labelSelector={quote(collection.selector, safe='')}" if collection.selector else ""
        count = 0
        api_version = f"{collection.group}/{collection.version}".lstrip("/")
        async for page in pages(self._client, collection, namespace, selector):
            for raw in page.items or ():
                found = self._decoded(raw, api_version, collection.kind)
                if found is not None:
                    self._add(found[0], collection)
                count += 1
            if count:
                self._progress(f"{count} {collection.plural} read")
            await asyncio.sleep(0)

    def _decoded(self, raw: msgspec.Raw, api_version: str, kind: str) -> tuple[Raw, Raw] | None:
        """An object of a list, trimmed and whole; None where it cannot be read, which is noted."""
        try:
            whole: Raw = {**msgspec.json.decode(raw), "apiVersion": api_version, "kind": kind}
            return trimmed(whole), whole
        except BROKEN as error:
            self.broken.append(f"{kind}: {broken(error)}")
            return None

    def _add(self, kept: Raw, collection: Collection) -> None:
        self._save(kept)
        try:
            self.inventory.add(kept)
        except BROKEN as error:
            self.broken.append(f"{collection.kind} {metadata_of(kept).get('name')}: {broken(error)}")
            return
        if collection in WORKLOADS:
            metadata = metadata_of(kept)
            namespace, name = str(metadata.get("namespace")), str(metadata.get("name"))
            self._owners.add((collection.group, collection.kind, namespace, name))

    def _lack(self, namespace: str, error: Exception) -> None:
        what, rule = without_advice(str(error)), advised_rule(str(error))
        self.missing.append(MissingPermission(self._cluster, namespace, what, rule))
