"""Writes events on resources: each one once, its count raised now and then, and no more than a namespace may have.

Every replica has a writer. The leader's survey offers what it finds; a denial is offered by the replica that denied, as
no other one knows of it. The name of an event follows from what it says, so two replicas, or two leaders in turn, raise
the count of one event. The events that wait, that are known and that are written are bounded, for a namespace and in
total. Events of admissions and those of the survey wait apart, so neither can displace or starve the other. The writer
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
"""Events of one namespace: so many a second, and so many at once after a quiet time."""

OF_ALL = (1.0, 50.0)
"""Events of all namespaces."""

MOST_WAITING_OF_ONE = 20
"""Events of one namespace that wait, of admissions and of the survey each; a further one is left out until the next
survey or denial, unless one that waits was written later than it."""

MOST_WAITING = 500
"""As above, of all namespaces; a further one takes the place of one of the namespace with the most."""

MOST_REMEMBERED = 5000
"""Events that were written or tried, the latest; to forget one costs two requests."""

MOST_NAMESPACES = 2000
"""Namespaces that have a budget, those of the latest events."""

_VERBS = ("create", "get", "patch")
"""What the writer does with events."""

_PAUSE = 5.0
"""Seconds to wait while each namespace that has something to write has used up its budget."""

_ASK_AGAIN = 60.0
"""Seconds until a permission that is missing is asked for again."""

_SECONDS = 10.0
"""For one look whether a resource exists."""

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
        """Have an event written, unless it was just now, or too many of its namespace wait already."""
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
        """When an event was last written; long ago where that is not known."""
        return self._written.get(event, -math.inf)

    def _latest(self, queue: RoundRobin[ResourceEvent], namespace: str) -> ResourceEvent:
        """Of the events of a namespace that wait, the one that was written last, else the one that was offered last."""
        return max(reversed(queue.of(namespace)), key=self._last)

    def _drop(self, queue: RoundRobin[ResourceEvent], event: ResourceEvent) -> None:
        queue.discard(event.resource.namespace, event)
        self._queued.discard(event)

    async def run(self) -> None:
        """Write what is offered, the namespaces in turn, until this is cancelled."""
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
        """Take the next event out that a budget allows, None for none."""
        now = self._clock()
        if self._total.seconds(now):
            return None
        for queue in self._turns:
            namespace = next((each for each in queue if self._budget(each).take(now)), None)
            if namespace is None:
                continue
            self._total.take(now)
            # admissions go first: only after an event of theirs comes one of the survey, so that no flood ends it
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
        # without success it is due at once, and makes way for all that were never tried
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
        """Whether the resource exists, by a look; False without an answer: the event will be offered again.

        vmguard may read the kinds that it judges only. Of another one it suffices that the kind is served: then the
        garbage collector removes a workload that names an owner which does not exist.
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
        """Ask ahead whether events may be written, as one is needed first when a pod was denied."""
        permissions = self._discovery.permissions
        while True:
            for namespace in self._namespaces:
                for verb in _VERBS:
                    await permissions.ask(self._client, verb, EVENTS, namespace)
            while True:
                await asyncio.sleep(_ASK_AGAIN)
                if any(permissions.lacks(verb, EVENTS) for verb in _VERBS):
                    break
