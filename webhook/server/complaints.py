"""Log lines about clients, whose number no one bounds: some at once, then few, each with the count of those left out.

The metric counts all. A client that sends garbage without a pause must not fill the node's disk with log lines.
"""

from collections import Counter
from collections.abc import Callable

from webhook.cluster.rate import Bucket
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

AT_ONCE = 20
"""Lines for one reason after a quiet time."""

RATE = 0.1
"""Lines a second for one reason after that."""


class Complaints:
    """What the clients of one listener do wrong. A reason is a fixed word, a label of the metric."""

    def __init__(self, log: Log, metrics: Metrics, listener: str, clock: Callable[[], float]) -> None:
        self._log = log
        self._counter = metrics.ended_connections
        self._listener = listener
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._left_out: Counter[str] = Counter()

    def note(self, reason: str, message: str, level: str = "warning") -> None:
        """Count what a client did, and log it unless this reason was logged too often of late."""
        self._counter.labels(self._listener, reason).inc()
        bucket = self._buckets.setdefault(reason, Bucket(RATE, AT_ONCE))
        if not bucket.take(self._clock()):
            self._left_out[reason] += 1
            return
        left_out = self._left_out.pop(reason, 0)
        more = {"left_out": left_out} if left_out else {}
        self._log.write(level, message, listener=self._listener, **more)
