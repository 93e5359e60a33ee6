"""The state of the server for its listeners: whether it is ready, and whether it is draining."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

ReadinessCheck = Callable[[], str]
"""Returns what is wrong, "" for nothing."""


@dataclass(slots=True)
class State:
    """Only the server's start and end change it.

    `checks` are further conditions of readiness, by name. `notes` are other problems, which do not change readiness.
    `tells` are information.
    """

    ready: bool = False
    draining: bool = False
    checks: Mapping[str, ReadinessCheck] = field(default_factory=dict)
    notes: Callable[[], Mapping[str, str]] = dict
    tells: Callable[[], Mapping[str, str]] = dict

    @property
    def reasons(self) -> dict[str, str]:
        """Each check of readiness with `ok` or what is wrong."""
        return {
            **{name: check() or "ok" for name, check in self.checks.items()},
            "listener": "ok" if self.ready else "not serving yet",
            "shutdown": "shutting down" if self.draining else "ok",
        }
