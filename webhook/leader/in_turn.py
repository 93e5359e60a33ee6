"""The order in which the leader works: namespaces take turns, so that none waits for all objects of another. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_turn(things: Iterable[tuple[str, T]]) -> Iterator[T]:
    """Things with their namespaces: the first of each namespace, then the second of each, and so on."""
    waiting: dict[str, deque[T]] = {}
    for namespace, thing in things:
        waiting.setdefault(namespace, deque()).append(thing)
    while waiting:
        for namespace in tuple(waiting):
            yield waiting[namespace].popleft()
            if not waiting[namespace]:
                del waiting[namespace]
