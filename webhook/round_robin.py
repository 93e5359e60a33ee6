"""A queue for each namespace: the namespaces take turns. It never waits and reads no clock."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class RoundRobin(Generic[T]):
    """Waiting things by namespace. Iteration gives each namespace once, in the order of their turns."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[T]] = {}
        self._count = 0

    def __len__(self) -> int:
        """The number of waiting things of all namespaces."""
        return self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def __contains__(self, namespace: str) -> bool:
        return namespace in self._waiting

    def waiting(self, namespace: str) -> int:
        """The number of waiting things of one namespace."""
        return len(self._waiting.get(namespace, ()))

    def add(self, namespace: str, thing: T) -> None:
        """Add a thing after all others of its namespace."""
        self._waiting.setdefault(namespace, deque()).append(thing)
        self._count += 1

    def of(self, namespace: str) -> tuple[T, ...]:
        """The waiting things of one namespace, in their order."""
        return tuple(self._waiting.get(namespace, ()))

    def take(self, namespace: str) -> T:
        """Remove and return the first thing of a namespace; its next turn comes after those of all others."""
        queue = self._waiting.pop(namespace)
        thing = queue.popleft()
        self._count -= 1
        if queue:
            self._waiting[namespace] = queue
        return thing

    def take_last(self, namespace: str) -> T:
        """Remove and return the last thing of a namespace. The turns do not change."""
        queue = self._waiting[namespace]
        thing = queue.pop()
        self._count -= 1
        if not queue:
            del self._waiting[namespace]
        return thing

    def discard(self, namespace: str, thing: T) -> bool:
        """Remove a thing; return whether it was waiting. The turns do not change."""
        queue = self._waiting.get(namespace)
        if queue is None or thing not in queue:
            return False
        queue.remove(thing)
        self._count -= 1
        if not queue:
            del self._waiting[namespace]
        return True
