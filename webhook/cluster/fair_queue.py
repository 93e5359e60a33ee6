"""Turns for requests to the API server: one shared rate, divided fairly among the namespaces that need it.

Every request takes a turn. Requests wait by the namespace that they are for, and the namespaces take turns, so that a
tenant with many requests delays another's first one by one turn at most. vmguard's own requests (watches, lists,
discovery) belong to no namespace and go first; they are few. The number of waiting requests is bounded, for each
namespace and in all. When the queue is full, the namespace with most requests loses its last one.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webhook.rate import Bucket
from webhook.round_robin import RoundRobin

OWN = ""
"""The namespace of vmguard's own requests."""

MOST_UNDER_WAY = 64
"""Requests that have a turn at the same time."""

MOST_OF_ONE = 16
"""Of these for one namespace: slow answers for one tenant leave room for the others."""

MOST_WAITING_OF_ONE = 100
"""Requests of one namespace that wait; one more is refused at once."""

MOST_WAITING = 500
"""Requests of all namespaces that wait: as many as the default rate serves in the ten seconds of a webhook call."""


class NoTurnError(Exception):
    """There is no turn: too many requests wait, or none came in time. The text says which."""


class FairQueue:
    """The turns of one client, in one event loop."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._waiting: RoundRobin[asyncio.Future[None]] = RoundRobin()
        self._under_way: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, namespace: str, deadline: float) -> AsyncIterator[None]:
        """Wait for a turn until `deadline`, a time of the running loop's clock in seconds, and hold it for the block.

        Raises:
            NoTurnError: too many requests wait already, or no turn came in time.

        """
        await self._granted(namespace, deadline)
        try:
            yield
        finally:
            self._end(namespace)

    async def _granted(self, namespace: str, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        if not self._waiting and self._has_room(namespace) and self._bucket.take(loop.time()):
            self._under_way[namespace] += 1
            return
        if self._waiting.waiting(namespace) >= MOST_WAITING_OF_ONE or not self._make_room(namespace):
            raise _too_many(namespace)
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.add(namespace, turn)
        self._grant()
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except NoTurnError:  # it made room for another one
            raise
        except BaseException as error:
            if turn.done() and not turn.cancelled() and not turn.exception():
                # its turn came at the same time, and is not used
                self._bucket.give_back()
                self._end(namespace)
            else:
                self._waiting.discard(namespace, turn)
            if isinstance(error, TimeoutError):
                text = "more requests wait for the API server than VMGUARD_KUBE_API_QPS allows in time"
                raise NoTurnError(text) from None
            raise

    def _make_room(self, namespace: str) -> bool:
        """Whether one more request may wait; where too many do, the namespace with most of them loses its last."""
        if len(self._waiting) < MOST_WAITING:
            return True
        longest = max((each for each in self._waiting if each != OWN), key=self._waiting.waiting, default=OWN)
        if longest == OWN or (
            namespace != OWN and self._waiting.waiting(longest) <= self._waiting.waiting(namespace) + 1
        ):
            return False
        turn = self._waiting.take_last(longest)
        if not turn.done():
            turn.set_exception(_too_many(longest))
        return True

    def _end(self, namespace: str) -> None:
        self._under_way[namespace] -= 1
        if not self._under_way[namespace]:
            del self._under_way[namespace]
        self._grant()

    def _grant(self) -> None:
        """Give turns to those that wait as long as there are some, and come back when there is the next."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while (namespace := self._next()) is not None:
            seconds = self._bucket.seconds(loop.time())
            if seconds > 0:
                self._timer = loop.call_later(seconds, self._grant)
                return
            turn = self._waiting.take(namespace)
            if not turn.done():  # else it was cancelled a moment ago
                self._bucket.take(loop.time())
                self._under_way[namespace] += 1
                turn.set_result(None)

    def _next(self) -> str | None:
        """The namespace whose turn it is, None where none may have one."""
        if OWN in self._waiting:
            return OWN
        if self._under_way.total() >= MOST_UNDER_WAY:
            return None
        return next((namespace for namespace in self._waiting if self._has_room(namespace)), None)

    def _has_room(self, namespace: str) -> bool:
        if namespace == OWN:
            return True
        return self._under_way.total() < MOST_UNDER_WAY and self._under_way[namespace] < MOST_OF_ONE


def _too_many(namespace: str) -> NoTurnError:
    of = f" of namespace {namespace}" if namespace else ""
    return NoTurnError(f"too many requests{of} wait for the API server: VMGUARD_KUBE_API_QPS limits their rate")
