"""The leader's reconciler of default PodSecurityPolicies: it compares the wanted objects with the existing ones.

`psp_objects` computes the wanted objects. Each round lists the existing ones again and writes the differences, whatever
happened before (level-triggered). Between rounds the reconciler caches only which versions of objects were right. It
never changes an object that vmguard did not create, and binds no account to such a policy. It removes a policy when a
live lookup finds no resource that needs it. A write that fails does not stop the other writes. Memory is bounded by the
number of resources: of objects that tenants can write, it holds pages of metadata and one whole object.

No tenant waits for another's objects. A new or changed resource is bound at once, beside the rounds and without a list.
A round creates first and removes afterwards. In both, the namespaces take turns, and a round removes a bounded number
of objects of each.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter

import msgspec

from webhook.cluster.apply import apply, create, delete
from webhook.cluster.backoff import Backoff
from webhook.cluster.client import Client, UnreachableError
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
from webhook.cluster.fair_queue import OWN
from webhook.cluster.listing import FAILURES, check, pages
from webhook.cluster.refusal import EndingError, RefusedError
from webhook.cluster.status import names_an_object
from webhook.cluster.watching import Watching
from webhook.facts import Ref
from webhook.leader.in_turn import in_turn
from webhook.leader.psp_leftovers import Leftover, Leftovers
from webhook.leader.psp_objects import (
    LABEL,
    OURS,
    PREFIX,
    RBAC,
    Custom,
    DesiredObjects,
    NamespacedName,
    Object,
    is_as,
    is_beyond,
    is_ours,
    wanted,
)
from webhook.leader.psp_status import PolicyStatus
from webhook.objects import KubeObject
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
"""Seconds between a change and what is done for it, so that several changes are handled together."""

MOST_REMOVED = 100
"""Policies without a resource that one round looks at; each costs a lookup and a removal."""

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
        self._right: dict[Collection, dict[NamespacedName, tuple[str, int]]] = {}
        self._passed: dict[Collection, dict[str, str]] = {ROLES: {}, BINDINGS: {}}
        self._bound: dict[str, KubeObject] = {}
        self._due = asyncio.Event()
        self._has_more = False
        self._failed: set[str] = set()
        self._backoff = Backoff(AGAIN, EVERY)
        self.trouble = ""

    async def run(self) -> None:
        """Run rounds, and bind what is new beside them, until this task is cancelled."""
        self._bound = {uid: found for uid, (_, found) in self._watched().items()}  # which the first round binds
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._rounds())
                tasks.create_task(self._follow())
        finally:
            self._status.clear()
            self._right.clear()
            self._bound.clear()
            for passed in self._passed.values():
                passed.clear()
            self.trouble = ""

    async def _rounds(self) -> None:
        while True:
            self._due.clear()
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
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _follow(self) -> None:
        """Bind each resource that is new or has changed, of each namespace in turn, and let a round follow."""
        changed = self._watching.changed
        while True:
            await changed.wait()
            await asyncio.sleep(SETTLE)
            bound: Counter[str] = Counter()
            fresh: deque[tuple[Custom, KubeObject]] = deque()
            while fresh or changed.is_set():
                if changed.is_set():  # what came meanwhile takes its turn
                    changed.clear()
                    fresh = deque(self._fresh(bound))
                    continue
                custom, found = fresh.popleft()
                bound[custom.namespace] += 1
                self._bound[custom.uid] = found
                await self._bind_at_once(custom)
            self._due.set()

    def _watched(self) -> dict[str, tuple[Collection, KubeObject]]:
        """The operator's resources by UID."""
        return {found.metadata.uid or "": (resource, found) for resource, found in self._watching.customs()}

    def _fresh(self, bound: Counter[str]) -> list[tuple[Custom, KubeObject]]:
        """The resources that are not bound in their current state; it drops resources that are gone.

        `bound` has the number of recent bindings of each namespace: the namespaces with the fewest take the first
        turns.
        """
        watched, turns = self._watched(), bound.copy()
        for uid in self._bound.keys() - watched.keys():
            del self._bound[uid]
        fresh = []
        for uid, (resource, found) in watched.items():
            custom = _custom(resource, found) if self._bound.get(uid) is not found else None
            if custom:
                turns[custom.namespace] += 1
                fresh.append((turns[custom.namespace], custom, found))
        return [(custom, found) for _, custom, found in sorted(fresh, key=itemgetter(0))]

    async def _bind_at_once(self, custom: Custom) -> None:
        """Create what one resource needs, without a list. What fails or is not vmguard's is reported by the round."""
        with suppress(RefusedError, *FAILURES):
            target = wanted((custom,), self._settings)
            usable = {name: await self._correct(PSP, policy, None, ()) for name, policy in target.policies.items()}
            unusable = frozenset(name for name, right in usable.items() if not right)
            safe = wanted((custom,), self._settings, unusable)
            for account in safe.accounts.values():
                await self._correct(ACCOUNTS, account, None, ())
            for place, role in safe.roles.items():
                if await self._correct(ROLES, role, None, ()):
                    await self._correct(BINDINGS, safe.bindings[place], None, ())

    def _pause(self, before: set[str]) -> float:
        """Seconds until the next round; `before` are the writes that failed in the round before the last."""
        if self._failed != before:
            self._backoff = Backoff(AGAIN, EVERY)
        if self._failed:
            return self._backoff.after()
        return AGAIN if self._status.has_written or self._has_more else EVERY

    async def take(self) -> None:
        """Run one round: compare, write the differences, remove what is left over, and report.

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
        leftovers = {resource: Leftovers(passed) for resource, passed in self._passed.items()}
        roles = await self._bind(ROLES, safe.roles, safe.owners, leftovers[ROLES])  # the right ones
        bindings = {place: safe.bindings[place] for place in roles}
        await self._bind(BINDINGS, bindings, safe.owners, leftovers[BINDINGS])
        not_ours = safe.roles.keys() - roles  # no account stays bound to these
        for resource in (BINDINGS, ROLES):
            for leftover in leftovers[resource].taken():
                if resource is BINDINGS and leftover.place in not_ours:
                    await self._remove(resource, leftover.place, leftover.uid)
                else:
                    await self._clean(resource, leftover, foreign | wrong)
        unneeded = [name for name in policies if name not in target.policies and _is_ours(PSP, policies[name])]
        for name in unneeded[:MOST_REMOVED]:
            if not await self._is_needed(name):
                await self._remove(PSP, ("", name), policies[name]["metadata"]["uid"])
        self._has_more = len(unneeded) > MOST_REMOVED or any(each.unfinished for each in leftovers.values())
        await self._status.publish(len(customs))

    def _customs(self) -> Iterator[Custom]:
        """The resources that make pods, of each namespace in turn."""
        found = (_custom(resource, found) for resource, found in self._watching.customs())
        return in_turn((custom.namespace, custom) for custom in found if custom)

    async def _there(self, resource: Collection, query: str = "") -> AsyncIterator[tuple[NamespacedName, Object]]:
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
        self,
        resource: Collection,
        things: Mapping[NamespacedName, Object],
        owners: Mapping[NamespacedName, Custom],
        leftovers: Leftovers,
    ) -> list[NamespacedName]:
        """Write Roles or RoleBindings, and note vmguard's own that are not wanted; the places of the right ones."""
        versions: dict[NamespacedName, str] = {}
        async for place, there in self._there(msgspec.structs.replace(resource, metadata_only=True), _OF_OURS):
            if place in things:
                versions[place] = there["metadata"]["resourceVersion"]
            elif _is_ours(resource, there) and _named(ROLES, place) not in self._failed:  # a retry may make it right
                leftovers.add(place, there)
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
            present = [owner for owner in owners if self._is_watched(owner)]  # else it was deleted, and this with it
            for owner in present:
                self._status.trouble(owner, "failed", f"{what} could not be written: {error}")
            if present:
                self._failed.add(what)
            return False

    def _is_watched(self, owner: Custom) -> bool:
        return self._watching.knows(Ref(GROUP, "", owner.kind, owner.namespace, owner.name, owner.uid))

    async def _correct(
        self, resource: Collection, thing: Object, there: Object | None, owners: tuple[Custom, ...]
    ) -> bool:
        if there is None and (await self._create(resource, thing) or resource is ACCOUNTS):
            return True  # vmguard also binds an account that it did not make
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

    async def _get(self, path: str, accept: str, payer: str = OWN) -> tuple[int, bytes]:
        return await self._client.get(path, accept, asyncio.get_running_loop().time() + _SECONDS, payer)

    async def _read(self, resource: Collection, place: NamespacedName) -> Object:
        code, body = await self._get(resource.path(*place), JSON, place[0])
        if code == 404:
            raise RefusedError("it was deleted meanwhile")
        check(code, body, "get", resource, place[0], self._client.advise)
        found: Object = _object.decode(body)
        return found

    async def _remove(self, resource: Collection, place: NamespacedName, uid: str) -> None:
        what = _named(resource, place)
        try:
            await delete(self._client, resource, *place, uid)
        except RefusedError as error:
            self._failed.add(what)
            self._status.not_removed(what, str(error))
        else:
            self._status.removed(what)

    async def _clean(self, resource: Collection, leftover: Leftover, unusable: frozenset[str]) -> None:
        """Remove an object of vmguard if its owner is watched and does not need it, or no longer exists.

        The watch may lag, so a live lookup decides whether an unwatched owner exists. Without an answer the object
        stays; the garbage collector removes it with its owner.
        """
        place, uid = leftover.place, leftover.uid
        watched = self._watching.find(Ref(GROUP, "", leftover.kind, place[0], leftover.owner))
        owner = _custom(watched[0].resource, watched[1]) if watched else None
        if owner is not None and owner.uid == leftover.owner_uid:
            if place not in wanted((owner,), self._settings, unusable).roles:  # it may have changed since the list
                await self._remove(resource, place, uid)
        elif not leftover.owner or await self._is_gone(leftover):
            await self._remove(resource, place, uid)

    async def _is_gone(self, leftover: Leftover) -> bool:
        """Whether the resource that a leftover belongs to does not exist; False without an answer."""
        namespace = leftover.place[0]
        path = self._served(leftover.kind).path(namespace, leftover.owner)
        try:
            code, body = await self._get(path, METADATA, namespace)
        except UnreachableError:
            return False
        if code == 200:
            found: Object = _object.decode(body)
            return bool(found["metadata"]["uid"] != leftover.owner_uid)
        return code == 404 and names_an_object(body)

    def _served(self, kind: str) -> Collection:
        """The metadata of a kind's resources, in the served version if discovery knows it."""
        return msgspec.structs.replace(served(kind, self._discovery.versions), metadata_only=True)

    async def _is_needed(self, policy: str) -> bool:
        """Whether a resource exists that needs a policy and is not watched yet; read live, since the watch may lag.

        A watched resource counts by its state now: it may name another policy than when the round began.
        """
        kinds = {kind.lower(): kind for kind in BY_KIND}
        prefix, _, name = policy.partition("-")
        if prefix not in kinds:
            return False
        kind = kinds[prefix]
        customs = [custom for custom in self._customs() if custom.kind == kind]
        if any(custom.made == policy and wanted((custom,), self._settings).policies for custom in customs):
            return True  # since the round began
        known = {custom.uid for custom in customs}
        resource = self._served(kind)
        if kind not in self._discovery.versions:
            code, _ = await self._get(f"{resource.path('')}?limit=1", METADATA_LIST)
            if code == 404:  # it serves none, and says so itself
                return False
        async for _, thing in self._there(resource, f"fieldSelector=metadata.name%3D{name}"):
            if thing["metadata"]["uid"] not in known:
                return True
        return False


def _custom(resource: Collection, found: KubeObject) -> Custom | None:
    """A watched object as a resource that makes pods, None where it is none."""
    meta = found.metadata
    if resource.kind not in BY_KIND or not meta.uid or not meta.name:
        return None
    return Custom(resource.kind, resource.version, meta.namespace or "", meta.name, meta.uid, found.spec or {})


def _is_ours(resource: Collection, thing: Object) -> bool:
    return is_ours(thing, PREFIX if resource.group == RBAC else "")


def _named(resource: Collection, place: NamespacedName) -> str:
    return f"{resource} {'/'.join(filter(None, place))}"


def _place(thing: Object) -> NamespacedName:
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]
