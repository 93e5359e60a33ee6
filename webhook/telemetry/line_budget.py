"""The limit of log lines for one reason: some at once, then few, each with the count of those left out.

A client that sends garbage without a pause must not fill the node's disk with log lines.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

AT_ONCE = 20
"""Most lines for one reason after a quiet time."""

RATE = 0.1
"""Lines a second for one reason after that."""


@dataclass
class _Lines:
    allowed: float
    at: float
    left_out: int = 0


class LineBudget:
    """Counts lines by reason. There must be few reasons: a client's text must not be one."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lines: dict[str, _Lines] = {}

    def take(self, reason: str) -> int | None:
        """The number of lines of this reason left out before this one; None if this one is left out, too."""
        now = self._clock()
        lines = self._lines.setdefault(reason, _Lines(AT_ONCE, now))
        lines.allowed, lines.at = min(AT_ONCE, lines.allowed + (now - lines.at) * RATE), now
        if lines.allowed < 1:
            lines.left_out += 1
            return None
        left_out, lines.left_out = lines.left_out, 0
        lines.allowed -= 1
        return left_out

    def fields(self, reason: str) -> dict[str, int] | None:
        """The same as `take`, as the fields of the line: `left_out` if lines were left out before it."""
        left_out = self.take(reason)
        return None if left_out is None else {"left_out": left_out} if left_out else {}
