"""The limit of log lines on the requests of one namespace, so that a tenant cannot displace the lines of others.

It is far above usual use: vmguard logs a rollout of a thousand pods completely. Metrics count every request. A client
may invent namespaces, so all namespaces without a known object count as one.
"""

import time
from collections.abc import Callable

from webhook.latest import Latest
from webhook.rate import Bucket

RATE = 100.0
"""Lines a second of one namespace."""

AT_ONCE = 1000.0
"""Most lines of one namespace at once after a quiet time."""

MOST_NAMESPACES = 2000
"""Most namespaces that are counted, those of the latest lines."""


class _Lines:
    __slots__ = ("bucket", "left_out")

    def __init__(self) -> None:
        self.bucket = Bucket(RATE, AT_ONCE)
        self.left_out = 0


class NamespaceLines:
    """Counts lines by namespace and level, so that many usual lines leave room for a warning."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: Latest[tuple[str, str], _Lines] = Latest(MOST_NAMESPACES)

    def take(self, namespace: str, level: str) -> int | None:
        """The number of lines of this namespace and level left out before this one; None if this one is left out, too.

        "" means all namespaces that may be invented.
        """
        key = namespace, level
        lines = self._lines.use(key, _Lines)
        if not lines.bucket.take(self._clock()):
            lines.left_out += 1
            return None
        left_out, lines.left_out = lines.left_out, 0
        return left_out
