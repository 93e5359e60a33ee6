"""The leader's reconciler of default PodSecurityPolicies: what `policies` wants is compared with what is there.

Level-triggered: each round lists what is there anew and writes the differences, whatever came before; nothing is
remembered but who was told what. An object that was not made here is never changed and nobody is let use it. A policy
is removed when a live look finds no resource any more that it could be for. One write that fails keeps no other from
being made.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable

import msgspec
from kubernetes.aio.client import V1ObjectReference

from webhook.cluster.client import Client
from webhook.cluster.discovery import Discovery
from webhook.cluster.listing import FAILURES, pages
from webhook.cluster.resources import ACCOUNTS, BINDINGS, METADATA, PSP, ROLES, Resource, custom
from webhook.cluster.watching import Watching
from webhook.cluster.writing import RefusedError, apply, delete, tell
from webhook.leader.policies import LABEL, OURS, Custom, Object, Place, Refused, Wanted, covers, is_ours, wanted
from webhook.policy.components import BY_KIND
from webhook.policy.resources import GROUP
from webhook.settings import Settings
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

EVERY = 300.0
"""Seconds until everything is compared again though no resource or policy has changed."""

AGAIN = 10.0
"""Seconds until the next round after one that wrote something, or failed."""

SETTLE = 0.5
"""Seconds after a change during which further ones are waited for."""

_SECONDS = 10.0
_OF_OURS = f"labelSelector={LABEL.replace('/', '%2F')}%3D{OURS}"

_POLICIES = msgspec.structs.replace(PSP, metadata_only=False)
_EVENTS = {"not-bindable": "PolicyNotBindable", "not-ours": "PolicyNotOurs", "failed": "PolicyFailed"}
_object = msgspec.json.Decoder(dict[str, object])

Trouble = tuple[Custom, str, str]
"""Whose it is, the reason in one word, and a text for a person."""


class Defaults:
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
        self._writes: Counter[str] = Counter()
        self._troubles: list[Trouble] = []
        self.trouble = ""

    async def run(self) -> None:
        """Compare and write again and again until this is cancelled."""
        changed = self._watching.changed
        try:
            while True:
                changed.clear()
                try:
                    await self.take()
                    why = ""
                except FAILURES as error:
                    why = str(error)
                    if why != self.trouble:
                        self._log.write("warning", "default policies failed", reason=why)
                self.trouble = why
                soon = why or self._writes or any(reason == "failed" for _, reason, _ in self._troubles)
                try:
                    async with asyncio.timeout(AGAIN if soon else EVERY):
                        await changed.wait()
                    await asyncio.sleep(SETTLE)
                except TimeoutError:
                    continue
        finally:
            self._gauge.clear()
            self._told.clear()
            self.trouble = ""

    async def take(self) -> None:
        """Compare once, write the differences, and tell.

        Raises:
            NotAllowedError, ExpiredError, UnreachableError, msgspec.DecodeError: what is there cannot be listed.

        """
        self._writes, self._troubles = Counter(), []
        customs = tuple(self._customs())
        policies = {name: thing async for (_, name), thing in self._there(_POLICIES)}
        foreign = frozenset(name for name, thing in policies.items() if not is_ours(thing))
        asked = wanted(customs, self._settings, foreign)
        for refused in asked.refused:
            self._troubles.append((refused.custom, refused.reason, _why(refused)))
        first = {each.made: each for each in reversed(customs)}
        for name, policy in asked.policies.items():
            await self._keep(PSP, policy, policies.get(name), first[name])
        await self._accounts(asked)
        left: set[Place] = set()
        for resource, things in ((ROLES, asked.roles), (BINDINGS, asked.bindings)):
            there = {place: thing async for place, thing in self._there(resource, _OF_OURS)}
            for place, thing in things.items():
                owner = asked.owners[place]
                if place not in left and not await self._keep_ours(resource, thing, there.get(place), owner):
                    left.add(place)  # nobody is bound to a role that is not as it must be
            for place, thing in there.items():
                if place not in things:
                    await self._remove(resource, place, thing)
        for name, thing in policies.items():
            if name not in asked.policies and is_ours(thing) and not await self._is_for_some(name):
                await self._remove(PSP, ("", name), thing)
        await self._tell(customs)

    def _customs(self) -> Iterable[Custom]:
        for resource, found in self._watching.customs():
            meta = found.metadata
            if resource.kind in BY_KIND and meta.uid and meta.name:
                yield Custom(
                    resource.kind, resource.version, meta.namespace or "", meta.name, meta.uid, found.spec or {}
                )

    async def _there(self, resource: Resource, query: str = "") -> AsyncIterator[tuple[Place, Object]]:
        async for page in pages(self._client, resource, "", query):
            for raw in page.items or ():
                thing: Object = _object.decode(raw)
                yield (thing["metadata"].get("namespace", ""), thing["metadata"]["name"]), thing

    async def _accounts(self, asked: Wanted) -> None:
        """Make accounts that are missing; of those that are there only our own are kept owned as they must be."""
        if not asked.accounts:
            return
        there = {place: thing async for place, thing in self._there(ACCOUNTS) if place in asked.accounts}
        for place, account in asked.accounts.items():
            found = there.get(place)
            if found is None or is_ours(found):
                await self._keep(ACCOUNTS, account, found, asked.owners[place])

    async def _keep_ours(self, resource: Resource, thing: Object, there: Object | None, owner: Custom) -> bool:
        """As `_keep`, of a collection of which only our own objects were listed."""
        if there is None:
            name, namespace = thing["metadata"]["name"], thing["metadata"]["namespace"]
            until = asyncio.get_running_loop().time() + _SECONDS
            status, _ = await self._client.get(resource.path(namespace, name), METADATA, until)
            if status == 200:
                text = f"{resource} {namespace}/{name} is not vmguard's and is left as it is: delete it"
                self._troubles.append((owner, "not-ours", text))
                return False
        return await self._keep(resource, thing, there, owner)

    async def _keep(self, resource: Resource, thing: Object, there: Object | None, owner: Custom) -> bool:
        """Write what differs from what is there, which is ours or None; whether all is as it must be now."""
        if there is not None and covers(there, thing):
            return True
        try:
            if there is not None and there.get("roleRef", thing.get("roleRef")) != thing.get("roleRef"):
                await delete(self._client, resource, *_place(there), there["metadata"]["uid"])  # it cannot be changed
            await apply(self._client, resource, thing, force=there is not None)
            self._writes["written"] += 1
        except RefusedError as error:
            text = f"{resource} {thing['metadata']['name']} could not be written: {error}"
            self._troubles.append((owner, "failed", text))
            return False
        return True

    async def _remove(self, resource: Resource, place: Place, thing: Object) -> None:
        try:
            await delete(self._client, resource, *place, thing["metadata"]["uid"])
            self._writes["removed"] += 1
        except RefusedError as error:
            self._log.write("warning", "default policies failed", reason=f"{resource} {place[1]}: {error}")
            self._writes["failed"] += 1

    async def _is_for_some(self, policy: str) -> bool:
        """Whether some resource needs a policy though none is known that does; read live, as what is known may be old.

        The resource may be known, and name another policy by now.
        """
        kinds = {kind.lower(): kind for kind in BY_KIND}
        prefix, _, name = policy.partition("-")
        if prefix not in kinds or kinds[prefix] not in self._discovery.versions:
            return False
        kind = kinds[prefix]
        known = {each.metadata.uid for resource, each in self._watching.customs() if resource.kind == kind}
        resource = msgspec.structs.replace(custom(kind, self._discovery.versions[kind]), metadata_only=True)
        async for _, thing in self._there(resource, f"fieldSelector=metadata.name%3D{name}"):
            if thing["metadata"]["uid"] not in known:
                return True
        return False

    async def _tell(self, customs: tuple[Custom, ...]) -> None:
        """Show troubles in the metric, and tell each once: in the log, and by an event on the resource."""
        self._gauge.clear()
        for (namespace, reason), count in Counter((who.namespace, reason) for who, reason, _ in self._troubles).items():
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
            except RefusedError as error:
                self._log.write("warning", "event not written", resource=str(who), reason=str(error))
        self._told = now
        if self._writes:
            self._log.write("info", "default policies", resources=len(customs), **self._writes)


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
