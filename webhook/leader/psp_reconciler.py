"""The leader's reconciler of default PodSecurityPolicies: it compares the wanted objects with the existing ones.

`psp_objects` computes the wanted objects. Each round lists the existing ones again and writes the differences,
whatever happened before (level-triggered). Between rounds the reconciler caches only which versions of objects were
right. It never changes an object that vmguard did not create, and binds nobody to such a policy. It removes a policy
when a live lookup finds no resource that needs it. A write that fails does not stop the other writes. Memory is bounded
by the number of resources: of objects that tenants can write, it holds pages of metadata and one whole object.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping

import msgspec

from webhook.cluster.apply import EndingError, RefusedError, apply, create, delete
from webhook.cluster.backoff import Backoff
from webhook.cluster.client import Client
from webhook.cluster.collections import (
    ACCOUNTS,
    BINDINGS,
    JSON,
    METADATA,
    METADATA_LIST,
    PSP,
    ROLES,
    Collection,
    served,
)
from webhook.cluster.discovery import Discovery
from webhook.cluster.listing import FAILURES, check, pages
from webhook.cluster.status import names_an_object
from webhook.cluster.watching import Watching
from webhook.leader.psp_objects import (
    LABEL,
    OURS,
    PREFIX,
    RBAC,
    Custom,
    DesiredObjects,
    Object,
    Place,
    is_as,
    is_beyond,
    is_ours,
    wanted,
)
from webhook.leader.psp_status import PolicyStatus
from webhook.policy.components import BY_KIND
from webhook.policy.custom_resources import GROUP
from webhook.settings import Settings
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

EVERY = 300.0
"""Seconds between two rounds while no resource and no policy changes."""

AGAIN = 10.0
"""Seconds until the next round after a round that wrote something or failed; longer while the same writes fail."""

SETTLE = 0.5
"""Seconds between a change and the round for it, so that one round handles several changes."""

_SECONDS = 10.0
_OF_OURS = f"labelSelector={LABEL.replace('/', '%2F')}%3D{OURS}"

_POLICIES = msgspec.structs.replace(PSP, metadata_only=False)
_object = msgspec.json.Decoder(dict[str, object])


class PolicyReconciler:
    """Reconciles the default policies of one cluster. `trouble` says why a round is not possible, "" when it is."""

    def __init__(
        self,
        client: Client,
        watching: Watching,
        discovery: Discovery,
        settings: Settings,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._watching = watching
        self._discovery = discovery
        self._settings = settings
        self._status = PolicyStatus(client, log, metrics)
        self._right: dict[Collection, dict[Place, tuple[str, int]]] = {}
        self._failed: set[str] = set()
        self._backoff = Backoff(AGAIN, EVERY)
        self.trouble = ""

    async def run(self) -> None:
        """Run rounds until this task is cancelled."""
        changed = self._watching.changed
        try:
            while True:
                changed.clear()
                before = self._failed
                try:
                    await self.take()
                    why = ""
                except FAILURES as error:
                    why = str(error)
                    if why != self.trouble:
                        self._status.failed(why)
                    self._failed.add("take")
                self.trouble = why
                try:
                    async with asyncio.timeout(self._pause(before)):
                        await changed.wait()
                    await asyncio.sleep(SETTLE)
                except TimeoutError:
                    continue
        finally:
            self._status.clear()
            self._right.clear()
            self.trouble = ""

    def _pause(self, before: set[str]) -> float:
        """Seconds until the next round; `before` are the writes that failed in the round before the last."""
        if self._failed != before:
            self._backoff = Backoff(AGAIN, EVERY)
        if self._failed:
            return self._backoff.after()
        return AGAIN if self._status.has_written else EVERY

    async def take(self) -> None:
        """Run one round: compare, write the differences, and report.

        Raises:
            NotAllowedError, ExpiredError, UnreachableError, msgspec.DecodeError: the existing objects cannot be listed.

        """
        self._failed = set()
        self._status.begin()
        customs = tuple(self._customs())
        policies = {name: thing async for (_, name), thing in self._there(_POLICIES)}
        foreign = frozenset(name for name, thing in policies.items() if not _is_ours(PSP, thing))
        target = wanted(customs, self._settings, foreign)
        for refused in target.refused:
            self._status.refused(refused)
        wrong = {
            name
            for name, policy in target.policies.items()
            if not await self._ensure(PSP, policy, policies.get(name), *target.users[name])
        }
        await self._accounts(target)
        safe = wanted(customs, self._settings, foreign | wrong)  # without the policies whose content is wrong
        roles = await self._bind(ROLES, safe.roles, safe.owners)
        await self._bind(BINDINGS, {place: safe.bindings[place] for place in roles}, safe.owners)
        for name, thing in policies.items():
            if name not in target.policies and _is_ours(PSP, thing) and not await self._is_needed(name):
                await self._remove(PSP, ("", name), thing)
        await self._status.publish(len(customs))

    def _customs(self) -> Iterable[Custom]:
        for resource, found in self._watching.customs():
            meta = found.metadata
            if resource.kind in BY_KIND and meta.uid and meta.name:
                yield Custom(
                    resource.kind, resource.version, meta.namespace or "", meta.name, meta.uid, found.spec or {}
                )

    async def _there(self, resource: Collection, query: str = "") -> AsyncIterator[tuple[Place, Object]]:
        async for page in pages(self._client, resource, "", query):
            for raw in page.items or ():
                thing: Object = _object.decode(raw)
                yield (thing["metadata"].get("namespace", ""), thing["metadata"]["name"]), thing

    async def _accounts(self, target: DesiredObjects) -> None:
        """Create missing ServiceAccounts. Correct the owner of existing ones only where vmguard created them."""
        if not target.accounts:
            return
        missing = dict(target.accounts)
        async for place, there in self._there(ACCOUNTS):
            account = missing.pop(place, None)
            if account and _is_ours(ACCOUNTS, there):
                await self._ensure(ACCOUNTS, account, there, target.owners[place])
        for place, account in missing.items():
            await self._ensure(ACCOUNTS, account, None, target.owners[place])

    async def _bind(
        self, resource: Collection, things: Mapping[Place, Object], owners: Mapping[Place, Custom]
    ) -> list[Place]:
        """Write Roles or RoleBindings, and remove vmguard's own that are not wanted; the places of the right ones."""
        versions: dict[Place, str] = {}
        async for place, there in self._there(msgspec.structs.replace(resource, metadata_only=True), _OF_OURS):
            if place in things:
                versions[place] = there["metadata"]["resourceVersion"]
            elif (
                _is_ours(resource, there)
                and _named(ROLES, place) not in self._failed  # a retry may make that Role right
                and await self._is_obsolete(there)
            ):
                await self._remove(resource, place, there)
        before, right = self._right.get(resource, {}), {}
        for place, thing in things.items():
            mark = versions.get(place, ""), hash(msgspec.json.encode(thing))
            known = place in versions and before.get(place) == mark
            if known or await self._ensure(resource, thing, {} if place in versions else None, owners[place]):
                right[place] = mark
        self._right[resource] = right
        return list(right)

    async def _ensure(self, resource: Collection, thing: Object, there: Object | None, *owners: Custom) -> bool:
        """Create an object, or correct `there` (None: no such object); whether it is vmguard's and right now."""
        try:
            return await self._correct(resource, thing, there, owners)
        except EndingError:
            return False  # the namespace is being deleted, and the resource with it
        except (RefusedError, *FAILURES) as error:
            what = _named(resource, _place(thing))
            for owner in owners:
                self._status.trouble(owner, "failed", f"{what} could not be written: {error}")
            self._failed.add(what)
            return False

    async def _correct(
        self, resource: Collection, thing: Object, there: Object | None, owners: tuple[Custom, ...]
    ) -> bool:
        if there is None and (await self._create(resource, thing) or resource is ACCOUNTS):
            return True  # an account of somebody else is bound all the same
        there = there or await self._read(resource, _place(thing))
        if not _is_ours(resource, there):
            text = f"{_named(resource, _place(thing))} is not vmguard's and is left as it is: delete it"
            for owner in owners:
                self._status.trouble(owner, "not-ours", text)
            return False
        if is_as(there, thing):
            return True
        if not is_beyond(there, thing):
            await apply(self._client, resource, thing, there)
            self._status.written()
            return True
        await delete(self._client, resource, *_place(there), there["metadata"]["uid"])
        if not await self._create(resource, thing):
            raise RefusedError("somebody else made one meanwhile")
        return True

    async def _create(self, resource: Collection, thing: Object) -> bool:
        made = await create(self._client, resource, thing)
        if made:
            self._status.written()
        return made

    async def _get(self, path: str, accept: str) -> tuple[int, bytes]:
        return await self._client.get(path, accept, asyncio.get_running_loop().time() + _SECONDS)

    async def _read(self, resource: Collection, place: Place) -> Object:
        code, body = await self._get(resource.path(*place), JSON)
        if code == 404:
            raise RefusedError("it was deleted meanwhile")
        check(code, body, "get", resource, place[0])
        found: Object = _object.decode(body)
        return found

    async def _remove(self, resource: Collection, place: Place, thing: Object) -> None:
        what = _named(resource, place)
        try:
            await delete(self._client, resource, *place, thing["metadata"]["uid"])
        except RefusedError as error:
            self._failed.add(what)
            self._status.not_removed(what, str(error))
        else:
            self._status.removed(what)

    async def _is_obsolete(self, thing: Object) -> bool:
        """Whether an object of vmguard may be removed: its owner is watched and does not need it, or no longer exists.

        The watch may lag, so a live lookup decides whether an unwatched owner exists. Without an answer the object
        stays; the garbage collector removes it with its owner.
        """
        owners, namespace = thing["metadata"]["ownerReferences"], thing["metadata"]["namespace"]
        owner = next(each for each in owners if each["apiVersion"].partition("/")[0] == GROUP)
        if any(each.metadata.uid == owner["uid"] for _, each in self._watching.customs()):
            return True
        if owner["kind"] not in BY_KIND:
            return False
        resource = self._served(owner["kind"])
        code, body = await self._get(resource.path(namespace, owner["name"]), METADATA)
        if code == 200:
            found: Object = _object.decode(body)
            return bool(found["metadata"]["uid"] != owner["uid"])
        return code == 404 and names_an_object(body)

    def _served(self, kind: str) -> Collection:
        """The metadata of a kind's resources, in the served version if discovery knows it."""
        return msgspec.structs.replace(served(kind, self._discovery.versions), metadata_only=True)

    async def _is_needed(self, policy: str) -> bool:
        """Whether a resource exists that needs a policy and is not watched yet; read live, since the watch may lag.

        A watched resource does not count: it may name another policy by now.
        """
        kinds = {kind.lower(): kind for kind in BY_KIND}
        prefix, _, name = policy.partition("-")
        if prefix not in kinds:
            return False
        kind = kinds[prefix]
        known = {each.metadata.uid for resource, each in self._watching.customs() if resource.kind == kind}
        resource = self._served(kind)
        if kind not in self._discovery.versions:
            code, _ = await self._get(f"{resource.path('')}?limit=1", METADATA_LIST)
            if code == 404:  # it serves none, and says so itself
                return False
        async for _, thing in self._there(resource, f"fieldSelector=metadata.name%3D{name}"):
            if thing["metadata"]["uid"] not in known:
                return True
        return False


def _is_ours(resource: Collection, thing: Object) -> bool:
    return is_ours(thing, PREFIX if resource.group == RBAC else "")


def _named(resource: Collection, place: Place) -> str:
    return f"{resource} {'/'.join(filter(None, place))}"


def _place(thing: Object) -> Place:
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]
