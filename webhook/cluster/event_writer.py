"""Writes events on resources: each one once, with a count that rises, and within the limit of each namespace.

Every replica has a writer. The leader's survey offers its findings. A replica offers its own denials, because no other
replica knows of them. The content of an event decides its name, so two replicas, or two leaders after each other, raise
the count of one event. The number of waiting, stored and written events is limited, for each namespace and in total.
Events of admissions and of the survey have separate queues, so neither can displace or starve the other. The writer
decides nothing, and an admission never waits for it.
"""

import asyncio
import math
from collections.abc import Callable, Collection
from time import monotonic

import msgspec

from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import EVENTS, JUDGED, METADATA, InvalidNameError, served
from webhook.cluster.discovery import Discovery
from webhook.cluster.object_events import write_event
from webhook.cluster.refusal import EndingError, RefusedError
from webhook.facts import Ref
from webhook.latest import Latest
from webhook.objects import KubeObject
from webhook.policy.resource_events import EventReason, ResourceEvent
from webhook.rate import Bucket
from webhook.round_robin import RoundRobin
from webhook.telemetry.line_budget import LineBudget
from webhook.telemetry.log import Log, described

AGAIN: dict[EventReason, float] = {
    "PodDenied": 600.0,
    "PodNotJudged": 600.0,
    "PodOfUnknownKind": 2700.0,
    "PodNotCompliant": 2700.0,
}
"""Seconds after which the same event is written again. The API server forgets an event after an hour by default."""

OF_ONE = (1 / 30, 20.0)
"""Events of one namespace: the rate a second, and the number at once after a quiet time."""

OF_ALL = (1.0, 50.0)
"""Events of all namespaces."""

MOST_WAITING_OF_ONE = 20
"""Most waiting events of one namespace in each queue. A further event is dropped until the next survey or denial,
unless it replaces a waiting one that was written more recently."""

MOST_WAITING = 500
"""Most waiting events of all namespaces in each queue; a further one replaces one of the namespace with the most."""

MOST_REMEMBERED = 5000
"""Most written or tried events that are stored, the latest; a dropped one costs two requests."""

MOST_NAMESPACES = 2000
"""Most namespaces with a budget, those of the latest events."""

_VERBS = ("create", "get", "patch")
"""The verbs that the writer needs on events."""

_PAUSE = 5.0
"""Seconds to wait while all namespaces with waiting events have used up their budgets."""

_ASK_AGAIN = 60.0
"""Seconds until a missing permission is checked again."""

_SECONDS = 10.0
"""Seconds for one lookup whether a resource exists."""

_object = msgspec.json.Decoder(KubeObject)


class EventWriter:
    """The events of one replica. `exempt` gives the names of the exempt namespaces that are known."""

    def __init__(
        self,
        client: Client,
        discovery: Discovery,
        namespaces: tuple[str, ...],
        exempt: Callable[[], Collection[str]],
        log: Log,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._namespaces = namespaces or ("",)
        self._exempt = exempt
        self._log = log
        self._lines = LineBudget()
        self._clock = clock
        self._admissions: RoundRobin[ResourceEvent] = RoundRobin()
        self._survey: RoundRobin[ResourceEvent] = RoundRobin()
        self._turns = [self._admissions, self._survey]
        self._queued: set[ResourceEvent] = set()
        self._written: Latest[ResourceEvent, float] = Latest(MOST_REMEMBERED)
        self._budgets: Latest[str, Bucket] = Latest(MOST_NAMESPACES)
        self._total = Bucket(*OF_ALL)
        self._due = asyncio.Event()

    def offer(self, event: ResourceEvent) -> None:
        """Queue an event, unless it was written recently or too many of its namespace wait already."""
        if event in self._queued or self._clock() - self._last(event) < AGAIN[event.reason]:
            return
        namespace, queue = event.resource.namespace, self._admissions if event.is_admission else self._survey
        if namespace in self._exempt():  # the API server sends no pod from there, but another client can
            return
        if queue.waiting(namespace) >= MOST_WAITING_OF_ONE:
            latest = self._latest(queue, namespace)
            if self._last(latest) <= self._last(event):
                return
            self._drop(queue, latest)
        elif len(queue) >= MOST_WAITING:
            most = max(queue, key=queue.waiting)
            if queue.waiting(most) <= queue.waiting(namespace) + 1:
                return
            self._drop(queue, self._latest(queue, most))
        queue.add(namespace, event)
        self._queued.add(event)
        self._due.set()

    def _last(self, event: ResourceEvent) -> float:
        """When an event was last written; long ago if that is not known."""
        return self._written.get(event, -math.inf)

    def _latest(self, queue: RoundRobin[ResourceEvent], namespace: str) -> ResourceEvent:
        """Of the waiting events of a namespace, the most recently written one, else the one that was offered last."""
        return max(reversed(queue.of(namespace)), key=self._last)

    def _drop(self, queue: RoundRobin[ResourceEvent], event: ResourceEvent) -> None:
        queue.discard(event.resource.namespace, event)
        self._queued.discard(event)

    async def run(self) -> None:
        """Write the offered events, the namespaces in turn, until this is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ask_for_permission())
            while True:
                await self._due.wait()
                event = self._next()
                if event is None:
                    await asyncio.sleep(_PAUSE)
                    continue
                try:
                    await self._write(event)
                except Exception as error:  # noqa: BLE001 - it must not end what else this process does
                    self._not_written(event, described(error)["error"])

    def _next(self) -> ResourceEvent | None:
        """Remove and return the next event that a budget allows, None for none."""
        now = self._clock()
        if self._total.seconds(now):
            return None
        for queue in self._turns:
            namespace = next((each for each in queue if self._budget(each).take(now)), None)
            if namespace is None:
                continue
            self._total.take(now)
            # admissions go first, and after each of their events comes one of the survey, so that no flood stops it
            self._turns = [self._admissions, self._survey]
            if queue is self._admissions:
                self._turns.reverse()
            event = queue.take(namespace)
            self._queued.discard(event)
            if not self._queued:
                self._due.clear()
            return event
        return None

    def _budget(self, namespace: str) -> Bucket:
        return self._budgets.use(namespace, lambda: Bucket(*OF_ONE))

    async def _write(self, event: ResourceEvent) -> None:
        resource = event.resource
        # without success it is due at once, after all events that were never tried
        self._written.put(event, self._clock() - AGAIN[event.reason])
        if not await self._exists(resource):
            return
        if resource.kind in JUDGED:
            version = served(resource.kind, self._discovery.versions).version
            resource = msgspec.structs.replace(resource, version=version)
        try:
            await write_event(self._client, resource, event.reason, event.text, AGAIN[event.reason])
        except EndingError:
            return  # the namespace is being deleted, and the resource with it
        except RefusedError as error:
            self._not_written(event, str(error))
            return
        self._written.put(event, self._clock())

    def _not_written(self, event: ResourceEvent, why: str) -> None:
        more = self._lines.fields(event.reason)
        if more is not None:
            self._log.write("warning", "event not written", resource=str(event.resource), reason=why, **more)

    async def _exists(self, resource: Ref) -> bool:
        """Whether the resource exists, by a lookup; False without an answer, and the event will be offered again.

        vmguard may read only the kinds that it judges. For another kind it suffices that the API server serves it: the
        garbage collector removes a workload with a missing owner.
        """
        if resource.kind not in JUDGED:
            return resource.kind in self._discovery.served_kinds
        place = msgspec.structs.replace(served(resource.kind, self._discovery.versions), metadata_only=True)
        try:
            path = place.path(resource.namespace, resource.name)
            code, body = await self._client.get(path, METADATA, asyncio.get_running_loop().time() + _SECONDS)
            return code == 200 and _object.decode(body).metadata.uid == resource.uid
        except (UnreachableError, InvalidNameError, msgspec.DecodeError):
            return False

    async def _ask_for_permission(self) -> None:
        """Check in advance whether vmguard may write events, because it needs that first after a denial."""
        permissions = self._discovery.permissions
        while True:
            for namespace in self._namespaces:
                for verb in _VERBS:
                    await permissions.ask(self._client, verb, EVENTS, namespace)
            while True:
                await asyncio.sleep(_ASK_AGAIN)
                if any(permissions.lacks(verb, EVENTS) for verb in _VERBS):
                    break
