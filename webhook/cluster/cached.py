"""Facts from what is watched, and live where that does not suffice.

A miss is read live, as is the resource and its parents for the first pod of a generation: a pod that is made right
after its resource was changed is judged by the change, though the watch may not have told of it yet. Who asks for the
same at the same time shares one look-up, each with its own deadline. When the API server cannot be asked, the last
state of the same UID that was seen answers; without one the fact is Unknown. Absent is never said from memory. Whether
a PodSecurityPolicy exists is not answered from memory by `get`: resources that name one are few, and one that was made
or deleted a moment ago is that for everybody.
"""

import asyncio
from collections import OrderedDict

from webhook.cluster.collections import NAMESPACES, POLICIES
from webhook.cluster.discovery import Discovery
from webhook.cluster.live import LiveFacts
from webhook.cluster.rate import Bucket
from webhook.cluster.watching import Watching
from webhook.facts import ONCE, Fact, Found, NotServed, Ref, Unknown
from webhook.policy.custom_resources import GROUP

LOOK_UP = 10.0
"""Seconds for one look-up, however little time those have left who wait for it."""

GENERATIONS = 20_000
"""Generations of pods that are remembered to have been read for; forgetting one costs one look-up."""

BUDGET = (20.0, 200.0)
"""Live look-ups for pods of one namespace: so many a second, and so many at once after a quiet time."""


class CachedFacts:
    """Facts of one cluster."""

    labels_suffice = False

    def __init__(self, watching: Watching, discovery: Discovery, live: LiveFacts) -> None:
        self._watching = watching
        self._discovery = discovery
        self._live = live
        self._read: OrderedDict[tuple[Ref, str], None] = OrderedDict()
        self._under_way: dict[tuple[Ref, str], asyncio.Task[Fact]] = {}
        self._budgets: OrderedDict[str, Bucket] = OrderedDict()

    @property
    def minor(self) -> int:
        """The cluster's 1.x minor version."""
        return self._discovery.minor

    def at_hand(self, ref: Ref, generation: str = "") -> Fact | None:
        """What memory says of one object, where that suffices."""
        if ref.kind == POLICIES and self._discovery.serves_policies is False:
            return NotServed("cache")
        if (
            not generation
            or (ref.group != GROUP and not generation.startswith(ONCE))
            or (ref, generation) in self._read
        ):
            return self._kept(ref)
        return None

    async def get(self, ref: Ref, deadline: float, generation: str = "", requester: str = "") -> Fact:
        """What is known of one object, by memory where that suffices."""
        known = self.at_hand(ref, generation)
        if known is not None and (ref.kind != POLICIES or type(known) is NotServed):
            return known
        if ref.kind in {POLICIES, NAMESPACES.kind} and not self._watching.whole_cluster:
            return Unknown("with WATCH_NAMESPACE nothing that belongs to the cluster is asked", "cache")
        if ref.kind == POLICIES:
            return await self._live.get(ref, deadline) if self._affordable(requester) else _over_budget(ref, requester)
        fact = await self._shared(ref, deadline, generation, ref.namespace or requester)
        return (self._kept(ref) or fact) if type(fact) is Unknown else fact

    async def names(self, ref: Ref, deadline: float, requester: str = "") -> tuple[str, ...]:
        """Names of the objects of the ref's kind and namespace, for an error message."""
        reflector = self._watching.of(ref)
        if ref.kind == POLICIES or reflector is None or not reflector.synced.is_set():
            may = self._watching.whole_cluster and self._affordable(ref.namespace or requester)
            return await self._live.names(ref, deadline) if may else ()
        return tuple(sorted(name for namespace, name in reflector.objects if namespace == ref.namespace))

    def _kept(self, ref: Ref) -> Found | None:
        """The state that was seen last of the very object that is asked for."""
        found = self._watching.find(ref)
        if found is None or (ref.uid and found[1].metadata.uid != ref.uid):
            return None
        age = max(0.0, asyncio.get_running_loop().time() - found[0].heard)
        return Found(found[1], "cache", age)

    async def _shared(self, ref: Ref, deadline: float, generation: str, requester: str) -> Fact:
        key = (ref, generation)
        task = self._under_way.get(key)
        if task is None:
            if not self._affordable(requester):
                return _over_budget(ref, requester)
            task = self._under_way[key] = asyncio.create_task(self._look_up(ref, generation))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(task)
        except TimeoutError:
            return Unknown("no answer from the API server in time", "live")

    async def _look_up(self, ref: Ref, generation: str) -> Fact:
        fact = await self._live.get(ref, asyncio.get_running_loop().time() + LOOK_UP)
        if type(fact) is Found:
            reflector = self._watching.of(ref)
            if reflector is not None:
                fact = Found(reflector.put(fact.object), "live")
            if generation and not generation.startswith(ONCE) and ref.group == GROUP:
                self._read[ref, generation] = None
                if len(self._read) > GENERATIONS:
                    self._read.popitem(last=False)
        return fact

    def _affordable(self, namespace: str) -> bool:
        budget = self._budgets.get(namespace)
        if budget is None:
            budget = self._budgets[namespace] = Bucket(*BUDGET)
            if len(self._budgets) > GENERATIONS:
                self._budgets.popitem(last=False)
        return budget.take(asyncio.get_running_loop().time())


def _over_budget(ref: Ref, requester: str) -> Unknown:
    whose = f"namespace {requester}" if requester else f"objects like {ref}"
    return Unknown(f"too many live look-ups for {whose}: the budget is used up", "live")
