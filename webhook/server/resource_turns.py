"""The turns of resources: one resource in each turn of the event loop, so that pods are decided before resources.

The event loop looks for new requests between two of its turns. So a pod waits for one resource at the most, however
many resources wait. After a resource that took long, the next one waits as long as that took, for requests that need
several turns of the event loop, such as a TLS handshake. The namespaces take turns, and a resource that comes alone
does not wait.
"""

import asyncio
import time

from webhook.facts import FactSource, Lookup, Names, Resolved
from webhook.round_robin import RoundRobin

_SHORT = 0.001
"""Seconds of a turn after which no pause is needed."""

_LONGEST_PAUSE = 0.5
"""Seconds."""


class ResourceTurns:
    """The turns in one event loop. What waited in an earlier loop, which has ended, is forgotten."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: RoundRobin[asyncio.Future[None]] = RoundRobin()
        self._taken = False
        self._since = 0.0

    def take(self) -> bool:
        """Take this turn of the event loop, if it is free; whether it was."""
        self._begin()
        if self._taken:
            return False
        self._use()
        return True

    async def turn(self, namespace: str) -> None:
        """Wait until it is the turn of this namespace."""
        self._begin()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(namespace, turn)
        if not self._taken:
            self._use()
        try:
            await turn
        finally:
            self._waiting.discard(namespace, turn)

    def _begin(self) -> None:
        """Begin anew in another event loop: nothing would end a turn of the one before."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._taken, self._waiting = loop, False, RoundRobin()

    def _use(self) -> None:
        """Count the time from now on as that of a resource. `_end` runs in the next turn, after it."""
        self._taken = True
        self._since = time.monotonic()
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        """Let the next resource come, at once or after a pause."""
        took = time.monotonic() - self._since
        if took > _SHORT:
            asyncio.get_running_loop().call_later(min(took, _LONGEST_PAUSE), self._next)
        else:
            self._next()

    def _next(self) -> None:
        self._taken = False
        if self._waiting:
            turn = self._waiting.take(next(iter(self._waiting)))
            if not turn.done():  # else it was cancelled a moment ago
                turn.set_result(None)
            self._use()


class FactsInTurn:
    """The facts for one resource, whose decision continues after each lookup when it is the namespace's turn."""

    def __init__(self, source: FactSource, turns: ResourceTurns, namespace: str) -> None:
        self._source = source
        self._turns = turns
        self._namespace = namespace
        self.minor = source.minor
        self.labels_suffice = source.labels_suffice

    def cached(self, lookup: Lookup | Names) -> Resolved | None:
        """As the source's."""
        return self._source.cached(lookup)

    async def get(self, lookup: Lookup | Names, deadline: float) -> Resolved:
        """As the source's, in turn."""
        answer = await self._source.get(lookup, deadline)
        await self._turns.turn(self._namespace)
        return answer
