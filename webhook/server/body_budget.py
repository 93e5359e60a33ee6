"""The memory for the bodies of requests: one budget in bytes for the process, over all its connections.

A body counts from its first byte until its request is answered. When the budget is used up, it drops incomplete bodies,
the oldest first. The API server sends a body in milliseconds, so an old incomplete body is slow or never ends. This
module does no I/O.
"""

from typing import Protocol

MOST = 64 * 1024 * 1024
"""Most bytes of all bodies: nine bodies of the largest allowed size."""

RESERVED = 16 * 1024 * 1024
"""Bytes of these only for small bodies, so that large ones that wait for their decision do not shut them out."""

SMALL = 64 * 1024
"""Bytes of a small body; reviews of recorded pods have 4 to 12 KiB."""


class Holder(Protocol):
    """A connection with a request whose body counts."""

    def give_way(self) -> None:
        """End the request and drop its incomplete body."""


class BodyBudget:
    """The bytes of all bodies of one process. `refused` counts the requests without room and the dropped ones."""

    def __init__(self, most: int = MOST, reserved: int = RESERVED) -> None:
        self._most = most
        self._reserved = reserved
        self._sizes: dict[Holder, int] = {}
        self._unfinished: dict[Holder, None] = {}
        self.held = 0
        self.refused = 0

    def hold(self, holder: Holder, size: int, *, whole: bool) -> bool:
        """Count the body of a request, which has `size` bytes now; False if there is no room, and then it is dropped.

        It drops incomplete bodies of others, if that makes room.
        """
        self.held += size - self._sizes.get(holder, 0)
        self._sizes[holder] = size
        if whole:
            self._unfinished.pop(holder, None)
        else:
            self._unfinished.setdefault(holder)
        most = self._most if size <= SMALL else self._most - self._reserved
        if self.held > most:
            others = [each for each in self._unfinished if each is not holder]
            if self.held - sum(self._sizes[each] for each in others) <= most:
                self._make_room(others, most)
        if self.held <= most:
            return True
        self.refused += 1
        self.release(holder)
        return False

    def release(self, holder: Holder) -> None:
        """No longer count the body of a request; nothing happens if it does not count."""
        self.held -= self._sizes.pop(holder, 0)
        self._unfinished.pop(holder, None)

    def _make_room(self, others: list[Holder], most: int) -> None:
        for other in others:
            if self.held <= most:
                return
            self.refused += 1
            self.release(other)
            other.give_way()
