"""Things that wait, divided by namespace: the namespaces take turns. Waits for nothing and reads no clock."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class RoundRobin(Generic[T]):
    """What waits, by namespace. Iteration gives each namespace once, the one whose turn is next first."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[T]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many things wait, of all namespaces."""
        return self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def __contains__(self, namespace: str) -> bool:
        return namespace in self._waiting

    def waiting(self, namespace: str) -> int:
        """How many things of one namespace wait."""
        return len(self._waiting.get(namespace, ()))

    def add(self, namespace: str, thing: T) -> None:
        """Let a thing wait behind all others of its namespace."""
        self._waiting.setdefault(namespace, deque()).append(thing)
        self._count += 1

    def of(self, namespace: str) -> tuple[T, ...]:
        """What waits of one namespace, the first one first."""
        return tuple(self._waiting.get(namespace, ()))

    def take(self, namespace: str) -> T:
        """Take the first thing of a namespace out; the namespace's next turn comes after those of all others."""
        queue = self._waiting.pop(namespace)
        thing = queue.popleft()
        self._count -= 1
        if queue:
            self._waiting[namespace] = queue
        return thing

    def take_last(self, namespace: str) -> T:
        """Take the last thing of a namespace out. The turns stay as they are."""
        queue = self._waiting[namespace]
        thing = queue.pop()
        self._count -= 1
        if not queue:
            del self._waiting[namespace]
        return thing

    def discard(self, namespace: str, thing: T) -> bool:
        """Take a thing out that waits no more; whether it was there. The turns stay as they are."""
        queue = self._waiting.get(namespace)
        if queue is None or thing not in queue:
            return False
        queue.remove(thing)
        self._count -= 1
        if not queue:
            del self._waiting[namespace]
        return True
