"""The leader's reconciler of default PodSecurityPolicies: what `policies` wants is compared with what is there.

Level-triggered: each round lists what is there anew and writes the differences, whatever came before; nothing is
remembered but who was told what, and which versions of objects were found to be right. An object that was not made here
is never changed and nobody is let use it. A policy is removed when a live look finds no resource any more that it could
be for. One write that fails keeps no other from being made. Of what tenants can write no more is held than there are
resources: pages of metadata, and one whole object.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping

import msgspec
from kubernetes.aio.client import V1ObjectReference

from webhook.cluster.apply import EndingError, RefusedError, apply, create, delete, tell
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
    Object,
    Place,
    Refused,
    Wanted,
    is_as,
    is_beyond,
    is_ours,
    wanted,
)
from webhook.policy.components import BY_KIND
from webhook.policy.custom_resources import GROUP
from webhook.settings import Settings
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

EVERY = 300.0
"""Seconds until everything is compared again though no resource or policy has changed."""

AGAIN = 10.0
"""Seconds until the next round after one that wrote something, or failed; ever more while the same fails."""

SETTLE = 0.5
"""Seconds after a change during which further ones are waited for."""

MOST_NAMED = 20
"""Objects that were removed in one round and have a log line of their own."""

_SECONDS = 10.0
_OF_OURS = f"labelSelector={LABEL.replace('/', '%2F')}%3D{OURS}"

_POLICIES = msgspec.structs.replace(PSP, metadata_only=False)
_EVENTS = {"not-bindable": "PolicyNotBindable", "not-ours": "PolicyNotOurs", "failed": "PolicyFailed"}
_object = msgspec.json.Decoder(dict[str, object])

Trouble = tuple[Custom, str, str]
"""Whose it is, the reason in one word, and a text for a person."""


class PolicyReconciler:
    """Keeps the default policies of one cluster. `trouble` is why it cannot, "" for nothing."""

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
        self._log = log
        self._gauge = metrics.policy_troubles
        self._told: set[tuple[str, str]] = set()
        self._right: dict[Collection, dict[Place, tuple[str, int]]] = {}
        self._writes: Counter[str] = Counter()
        self._failed: set[str] = set()
        self._backoff = Backoff(AGAIN, EVERY)
        self._troubles: list[Trouble] = []
        self.trouble = ""

    async def run(self) -> None:
        """Compare and write again and again until this is cancelled."""
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
                        self._log.write("warning", "default policies failed", reason=why)
                    self._failed.add("take")
                self.trouble = why
                try:
                    async with asyncio.timeout(self._pause(before)):
                        await changed.wait()
                    await asyncio.sleep(SETTLE)
                except TimeoutError:
                    continue
        finally:
            self._gauge.clear()
            self._told.clear()
            self._right.clear()
            self.trouble = ""

    def _pause(self, before: set[str]) -> float:
        """Seconds until the next round; `before` is what failed in the one before the last."""
        if self._failed != before:
            self._backoff = Backoff(AGAIN, EVERY)
        if self._failed:
            return self._backoff.after()
        return AGAIN if self._writes else EVERY

    async def take(self) -> None:
        """Compare once, write the differences, and tell.

        Raises:
            NotAllowedError, ExpiredError, UnreachableError, msgspec.DecodeError: what is there cannot be listed.

        """
        self._writes, self._failed, self._troubles = Counter(), set(), []
        customs = tuple(self._customs())
        policies = {name: thing async for (_, name), thing in self._there(_POLICIES)}
        foreign = frozenset(name for name, thing in policies.items() if not _is_ours(PSP, thing))
        asked = wanted(customs, self._settings, foreign)
        for refused in asked.refused:
            self._troubles.append((refused.custom, refused.reason, _why(refused)))
        wrong = {
            name
            for name, policy in asked.policies.items()
            if not await self._keep(PSP, policy, policies.get(name), *asked.users[name])
        }
        await self._accounts(asked)
        safe = wanted(customs, self._settings, foreign | wrong)  # nobody is let use a policy that is not as it must be
        roles = await self._bind(ROLES, safe.roles, safe.owners)
        await self._bind(BINDINGS, {place: safe.bindings[place] for place in roles}, safe.owners)  # nor bound to a role
        for name, thing in policies.items():
            if name not in asked.policies and _is_ours(PSP, thing) and not await self._is_for_some(name):
                await self._remove(PSP, ("", name), thing)
        await self._tell(customs)

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

    async def _accounts(self, asked: Wanted) -> None:
        """Make accounts that are missing; of those that are there only our own are kept owned as they must be."""
        if not asked.accounts:
            return
        missing = dict(asked.accounts)
        async for place, there in self._there(ACCOUNTS):
            account = missing.pop(place, None)
            if account and _is_ours(ACCOUNTS, there):
                await self._keep(ACCOUNTS, account, there, asked.owners[place])
        for place, account in missing.items():
            await self._keep(ACCOUNTS, account, None, asked.owners[place])

    async def _bind(
        self, resource: Collection, things: Mapping[Place, Object], owners: Mapping[Place, Custom]
    ) -> list[Place]:
        """Keep Roles or RoleBindings and remove those of ours that must not be; places of those that are right."""
        versions: dict[Place, str] = {}
        async for place, there in self._there(msgspec.structs.replace(resource, metadata_only=True), _OF_OURS):
            if place in things:
                versions[place] = there["metadata"]["resourceVersion"]
            elif (
                _is_ours(resource, there)
                and _named(ROLES, place) not in self._failed  # which may be right, or soon be
                and await self._may_go(there)
            ):
                await self._remove(resource, place, there)
        before, right = self._right.get(resource, {}), {}
        for place, thing in things.items():
            mark = versions.get(place, ""), hash(msgspec.json.encode(thing))
            known = place in versions and before.get(place) == mark
            if known or await self._keep(resource, thing, {} if place in versions else None, owners[place]):
                right[place] = mark
        self._right[resource] = right
        return list(right)

    async def _keep(self, resource: Collection, thing: Object, there: Object | None, *owners: Custom) -> bool:
        """Make an object, or mend what is there, None for nothing; whether it is ours and as it must be now."""
        try:
            return await self._correct(resource, thing, there, owners)
        except EndingError:
            return False  # with its namespace the resource ends too
        except (RefusedError, *FAILURES) as error:
            what = _named(resource, _place(thing))
            self._troubles += [(owner, "failed", f"{what} could not be written: {error}") for owner in owners]
            self._failed.add(what)
            return False

    async def _correct(
        self, resource: Collection, thing: Object, there: Object | None, owners: tuple[Custom, ...]
    ) -> bool:
        if there is None and (await self._create(resource, thing) or resource is ACCOUNTS):
            return True  # whoever made an account, it is the one that is bound
        there = there or await self._read(resource, _place(thing))
        if not _is_ours(resource, there):
            text = f"{_named(resource, _place(thing))} is not vmguard's and is left as it is: delete it"
            self._troubles += [(owner, "not-ours", text) for owner in owners]
            return False
        if is_as(there, thing):
            return True
        if not is_beyond(there, thing):
            await apply(self._client, resource, thing, there)
            self._writes["written"] += 1
            return True
        await delete(self._client, resource, *_place(there), there["metadata"]["uid"])
        if not await self._create(resource, thing):
            raise RefusedError("somebody else made one meanwhile")
        return True

    async def _create(self, resource: Collection, thing: Object) -> bool:
        made = await create(self._client, resource, thing)
        self._writes["written"] += made
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
            self._writes["failed"] += 1
            if self._writes["failed"] <= MOST_NAMED:
                self._log.write("warning", "default policies failed", reason=f"{what}: {error}")
            return
        self._writes["removed"] += 1
        if self._writes["removed"] <= MOST_NAMED:
            self._log.write("info", "default policy removed", resource=what)

    async def _may_go(self, thing: Object) -> bool:
        """Whether the owner of one of our objects is known, and so wants it no more, or is gone by a live look.

        What is known may be old; where it cannot be told, the object stays, and ends with its owner.
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
        """The metadata of a kind's resources, in the version that is served as far as that is known."""
        return msgspec.structs.replace(served(kind, self._discovery.versions), metadata_only=True)

    async def _is_for_some(self, policy: str) -> bool:
        """Whether some resource needs a policy though none is known that does; read live, as what is known may be old.

        The resource may be known, and name another policy by now.
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

    async def _tell(self, customs: tuple[Custom, ...]) -> None:
        """Show troubles in the metric, and tell each once: in the log, and by an event on the resource."""
        self._gauge.clear()
        resources = {(who.uid, who.namespace, reason) for who, reason, _ in self._troubles}
        for (namespace, reason), count in Counter((namespace, reason) for _, namespace, reason in resources).items():
            self._gauge.labels(namespace, reason).set(count)
        now = {(who.uid, text) for who, _, text in self._troubles}
        for who, reason, text in self._troubles:
            if (who.uid, text) in self._told:
                continue
            self._log.write("warning", "policy not bound", resource=str(who), reason=text)
            reference = V1ObjectReference(
                api_version=f"{GROUP}/{who.version}", kind=who.kind, namespace=who.namespace, name=who.name, uid=who.uid
            )
            try:
                await tell(self._client, reference, _EVENTS[reason], text)
            except EndingError:
                continue
            except RefusedError as error:
                self._log.write("warning", "event not written", resource=str(who), reason=str(error))
        self._told = now
        if self._writes:
            self._log.write("info", "default policies", resources=len(customs), **self._writes)


def _is_ours(resource: Collection, thing: Object) -> bool:
    return is_ours(thing, PREFIX if resource.group == RBAC else "")


def _named(resource: Collection, place: Place) -> str:
    return f"{resource} {'/'.join(filter(None, place))}"


def _place(thing: Object) -> Place:
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]


def _why(refused: Refused) -> str:
    who, policy = refused.custom, refused.policy
    if refused.reason == "not-bindable":
        return (
            f"{who} names PodSecurityPolicy {policy!r}, which vmguard may not bind: add it to VMGUARD_PSP_BINDABLE, "
            f"or let ServiceAccount {who.account} use it by a RoleBinding of your own"
        )
    return (
        f"PodSecurityPolicy {policy!r} is not vmguard's: it is left as it is, and {who} is not bound to it; delete it, "
        "or add it to VMGUARD_PSP_BINDABLE"
    )
