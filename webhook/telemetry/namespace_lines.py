"""How many log lines there may be on the requests of one namespace, so that a tenant cannot drown those of others.

Far more than usual use needs: a rollout of a thousand pods at once is logged whole. Metrics count every request. Of a
namespace that may be invented nothing is known, and all of these count as one.
"""

import time
from collections.abc import Callable

from webhook.latest import Latest
from webhook.rate import Bucket

RATE = 100.0
"""Lines a second of one namespace."""

AT_ONCE = 1000.0
"""Lines of one namespace at once after a quiet time."""

MOST_NAMESPACES = 2000
"""Namespaces that are counted, those of the latest lines."""


class _Lines:
    __slots__ = ("bucket", "left_out")

    def __init__(self) -> None:
        self.bucket = Bucket(RATE, AT_ONCE)
        self.left_out = 0


class NamespaceLines:
    """Counts lines by namespace and level: many lines of a usual outcome leave room for a warning."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: Latest[tuple[str, str], _Lines] = Latest(MOST_NAMESPACES)

    def take(self, namespace: str, level: str) -> int | None:
        """How many lines of this namespace and level were left out before this one; None where this one is too.

        "" means all namespaces that may be invented.
        """
        key = namespace, level
        lines = self._lines.use(key, _Lines)
        if not lines.bucket.take(self._clock()):
            lines.left_out += 1
            return None
        left_out, lines.left_out = lines.left_out, 0
        return left_out
