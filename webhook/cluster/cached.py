"""Facts from the watched collections, and from live reads if these do not suffice.

An object that is not cached is read live. For the first pod of a generation, the resource and its parents are read
live, too. So vmguard judges a pod by a change of its resource even before the watch reports the change. Requests that
need the same object at the same time share one live read, each with its own deadline. When the API server does not
answer, the last cached state of the same UID counts. Without one the fact is Unknown. An answer from the cache is never
Absent.
"""

import asyncio

from webhook.cluster.collections import POLICIES
from webhook.cluster.discovery import Discovery
from webhook.cluster.live import LiveFacts
from webhook.cluster.watching import Watching
from webhook.facts import Fact, Found, Lookup, Names, NotServed, Ref, Resolved, Unknown
from webhook.latest import Latest
from webhook.name_forms import LONGEST_NAME, is_namespace, is_subdomain
from webhook.policy.custom_resources import GROUP
from webhook.policy.projection import ResourceTooLargeError
from webhook.rate import Bucket

LOOK_UP = 10.0
"""Seconds for one live read, also if the requests that wait for it have less time left."""

SHORT_WAIT = 2.0
"""Seconds to wait for a live read if a cached state of the same object can answer instead."""

GENERATIONS = 20_000
"""Most generations of pods that are stored after their live read; a dropped one costs one more live read."""

BUDGET = (20.0, 200.0)
"""Live reads for the pods of one namespace: so many a second, and so many at once after a quiet time."""


FREE_BYTES = 32 * 1024
"""Bytes of an answer that cost one live read; a larger answer costs more, because it takes longer to decode."""

_UNSEEN = "-"
"""The payer for all namespaces that the watch has not seen; no namespace has this name."""

_Generation = tuple[str, str, str, str, str]
"""Kind, namespace, name and UID of a resource that was found, and the generation of pods that it was read for."""


class CachedFacts:
    """Facts of one cluster."""

    labels_suffice = False

    def __init__(self, watching: Watching, discovery: Discovery, live: LiveFacts) -> None:
        self._watching = watching
        self._discovery = discovery
        self._live = live
        self._read: Latest[_Generation, None] = Latest(GENERATIONS)
        self._under_way: dict[tuple[Ref, str], asyncio.Task[Fact]] = {}
        self._budgets: Latest[str, Bucket] = Latest(GENERATIONS)
        live.on_read = self._charge

    @property
    def minor(self) -> int:
        """The cluster's 1.x minor version."""
        return self._discovery.minor

    def cached(self, lookup: Lookup | Names) -> Resolved | None:
        """The answer of the watched collections, None if they do not suffice."""
        if isinstance(lookup, Names):
            return self._cached_names(lookup.ref)
        ref, generation = lookup.ref, lookup.generation
        if ref.kind == POLICIES and self._discovery.serves_policies is False:
            return NotServed("cache")
        if lookup.fresh or (generation and ref.group == GROUP and _generation(ref, generation) not in self._read):
            return None
        return self._last_state(ref)

    async def get(self, lookup: Lookup | Names, deadline: float) -> Resolved:
        """The same as `cached`, with a live read if the caches do not suffice."""
        known = self.cached(lookup)
        if known is not None:
            return known
        if isinstance(lookup, Names):
            return await self._names(lookup, deadline)
        ref = lookup.ref
        if ref.kind == POLICIES and not self._watching.whole_cluster:
            return Unknown("with WATCH_NAMESPACE vmguard reads no PodSecurityPolicies", "cache")
        if ref.kind == POLICIES:  # without a live read there is no answer
            payer = self._payer(lookup)
            return await self._live.get(ref, deadline, payer) if self._affordable(lookup) else _over_budget(lookup)
        if not lookup.fresh and self._last_state(ref):
            deadline = min(deadline, asyncio.get_running_loop().time() + SHORT_WAIT)
        fact = await (self._alone(lookup, deadline) if lookup.fresh else self._shared(lookup, deadline))
        return (self._last_state(ref) or fact) if type(fact) is Unknown else fact

    def _cached_names(self, ref: Ref) -> tuple[str, ...] | None:
        reflector = self._watching.of(ref)
        if ref.kind == POLICIES or reflector is None or not reflector.synced.is_set():
            return None
        return tuple(sorted(name for namespace, name in reflector.objects if namespace == ref.namespace))

    async def _names(self, names: Names, deadline: float) -> tuple[str, ...]:
        if self._watching.whole_cluster and self._affordable(names):
            return await self._live.names(names.ref, deadline, self._payer(names))
        return ()

    def _last_state(self, ref: Ref) -> Found | None:
        """The last state that the watch has reported of the object with the ref's UID."""
        found = self._watching.find(ref)
        if found is None or (ref.uid and found[1].metadata.uid != ref.uid):
            return None
        age = max(0.0, asyncio.get_running_loop().time() - found[0].heard)
        return Found(found[1], "cache", age)

    async def _alone(self, lookup: Lookup, deadline: float) -> Fact:
        return await self._read_live(lookup, deadline) if self._affordable(lookup) else _over_budget(lookup)

    async def _shared(self, lookup: Lookup, deadline: float) -> Fact:
        key = (lookup.ref, lookup.generation)
        task = self._under_way.get(key)
        if task is None:
            if not self._affordable(lookup):
                return _over_budget(lookup)
            until = asyncio.get_running_loop().time() + LOOK_UP
            task = self._under_way[key] = asyncio.create_task(self._read_live(lookup, until))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(task)
        except TimeoutError:
            return Unknown("no answer from the API server in time", "live")

    async def _read_live(self, lookup: Lookup, deadline: float) -> Fact:
        ref, generation = lookup.ref, lookup.generation
        fact = await self._live.get(ref, deadline, self._payer(lookup))
        if type(fact) is Found:
            reflector = self._watching.of(ref)
            if reflector is not None:
                try:
                    fact = Found(reflector.put(fact.object), "live")
                except ResourceTooLargeError as error:
                    return Unknown(f"{ref} is too large: {error}", "live")
            if generation and ref.group == GROUP and _can_exist(ref):
                self._read.put(_generation(ref, generation), None)
        return fact

    def _affordable(self, lookup: Lookup | Names) -> bool:
        return self._budget(self._payer(lookup)).take(asyncio.get_running_loop().time())

    def _charge(self, payer: str, size: int) -> None:
        """Charge a namespace for the size of an answer."""
        if size > FREE_BYTES:
            self._budget(payer).spend(size / FREE_BYTES, asyncio.get_running_loop().time())

    def _payer(self, lookup: Lookup | Names) -> str:
        """The namespace that is charged for a live read, "" for none.

        All namespaces that the watch has not seen share one budget: a client can invent any number of them.
        """
        payer = lookup.ref.namespace or lookup.requester
        if not payer:
            return payer
        seen = self._watching.of(Ref("", "v1", "Namespace", "", payer))
        invented = seen is not None and seen.synced.is_set() and ("", payer) not in seen.objects
        return _UNSEEN if invented or not is_namespace(payer) else payer

    def _budget(self, namespace: str) -> Bucket:
        return self._budgets.use(namespace, lambda: Bucket(*BUDGET))


def _generation(ref: Ref, generation: str) -> _Generation:
    """The key of a read. It has no API version: a reference may have any, and each one finds the same object."""
    return ref.kind, ref.namespace, ref.name, ref.uid, generation


def _can_exist(ref: Ref) -> bool:
    """Whether the texts of a reference have the form and the length of those of a stored object."""
    return is_namespace(ref.namespace) and is_subdomain(ref.name) and len(ref.uid) <= LONGEST_NAME


def _over_budget(lookup: Lookup) -> Unknown:
    namespace = lookup.ref.namespace or lookup.requester
    payer = f"namespace {namespace}" if namespace else f"objects like {lookup.ref}"
    return Unknown(f"too many live look-ups for {payer}: the budget is used up", "live")
