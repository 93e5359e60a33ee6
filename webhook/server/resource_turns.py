"""The turns of resources: one resource in each turn of the event loop, so that pods are decided before resources.

The event loop reads new requests between two of its turns. So a pod waits for at most one resource, however many
resources wait. After a resource that took long, the next one waits for the same time. This leaves time for requests
that need several turns of the event loop, such as a TLS handshake. The namespaces take turns, and a single resource
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
    """The turns in one event loop. It drops what waited in an earlier loop, which has ended."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: RoundRobin[asyncio.Future[None]] = RoundRobin()
        self._taken = False
        self._since = 0.0

    def take(self) -> bool:
        """Take this turn of the event loop, if it is free; return whether it was."""
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
        """Start again in another event loop: nothing would end a turn of the one before."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._taken, self._waiting = loop, False, RoundRobin()

    def _use(self) -> None:
        """Count the time from now as that of a resource. `_end` runs in the next turn, after it."""
        self._taken = True
        self._since = time.monotonic()
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        """Give the next resource its turn, at once or after a pause."""
        took = time.monotonic() - self._since
        if took > _SHORT:
            asyncio.get_running_loop().call_later(min(took, _LONGEST_PAUSE), self._next)
        else:
            self._next()

    def _next(self) -> None:
        self._taken = False
        if self._waiting:
            turn = self._waiting.take(next(iter(self._waiting)))
            if not turn.done():  # otherwise it was cancelled just now
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
        """The same as the source's."""
        return self._source.cached(lookup)

    async def get(self, lookup: Lookup | Names, deadline: float) -> Resolved:
        """The same as the source's, in turn."""
        answer = await self._source.get(lookup, deadline)
        await self._turns.turn(self._namespace)
        return answer
