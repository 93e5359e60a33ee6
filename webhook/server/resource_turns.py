"""The turns of resources: one resource in each turn of the event loop, so that pods are decided before resources.

The event loop looks for new requests between two of its turns. So a pod waits for one resource at the most, however
many resources wait. The namespaces take turns, and a resource that comes alone does not wait.
"""

import asyncio

from webhook.round_robin import RoundRobin


class ResourceTurns:
    """The turns in one event loop."""

    def __init__(self) -> None:
        self._waiting: RoundRobin[asyncio.Future[None]] = RoundRobin()
        self._taken = False

    def take(self) -> bool:
        """Take this turn of the event loop, if it is free; whether it was."""
        if self._taken:
            return False
        self._use()
        return True

    async def turn(self, namespace: str) -> None:
        """Wait until it is the turn of this namespace."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(namespace, turn)
        if not self._taken:
            self._use()
        try:
            await turn
        finally:
            self._waiting.discard(namespace, turn)

    def _use(self) -> None:
        self._taken = True
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._taken = False
        if self._waiting:
            turn = self._waiting.take(next(iter(self._waiting)))
            if not turn.done():  # else it was cancelled a moment ago
                turn.set_result(None)
            self._use()
