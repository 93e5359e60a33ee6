"""What the listeners know of the server's life: whether it is ready, and whether it is draining."""

from dataclasses import dataclass


@dataclass(slots=True)
class State:
    """Changed by the server's start and end only."""

    ready: bool = False
    draining: bool = False

    @property
    def reasons(self) -> dict[str, str]:
        """Each check of readiness with `ok` or what is wrong."""
        return {
            "listener": "ok" if self.ready else "not listening yet",
            "shutdown": "shutting down" if self.draining else "ok",
        }
