"""Errors of clients, in any number: it counts each, and logs a few."""

from collections.abc import Callable

from webhook.telemetry.line_budget import LineBudget
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics


class Complaints:
    """The errors of one listener's clients. A reason is a fixed word, a label of the metric."""

    def __init__(self, log: Log, metrics: Metrics, listener: str, clock: Callable[[], float]) -> None:
        self._log = log
        self._counter = metrics.ended_connections
        self._listener = listener
        self._budget = LineBudget(clock)

    def note(self, reason: str, message: str, client: str = "", level: str = "warning") -> None:
        """Count an error, and log it unless this reason was logged too often recently.

        `client` is the client's address, "" for none.
        """
        self._counter.labels(self._listener, reason).inc()
        more = self._budget.fields(reason)
        if more is None:
            return
        who = {"client": client} if client else {}
        self._log.write(level, message, listener=self._listener, **who, **more)
