"""Pauses between attempts: each is twice the one before, up to a longest. It reads no clock and never waits."""

import random


class Backoff:
    """Pauses from `first` to `longest` seconds, each 20 % more or less, so that replicas do not retry together."""

    def __init__(self, first: float = 0.2, longest: float = 10.0) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def after(self, lived: float = 0.0) -> float:
        """Seconds to wait after an attempt that went well for `lived` seconds before it failed.

        After an attempt that went well for longer than the next pause, the pauses start again with the first.
        """
        if lived > self._next:
            self._next = self._first
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause * random.uniform(0.8, 1.2)  # noqa: S311 - spreads replicas, guards nothing

    def longest(self) -> float:
        """Seconds to wait when another attempt would not help soon."""
        self._next = self._longest
        return self.after()
