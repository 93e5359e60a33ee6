"""A token bucket: a rate a second, and a number at once after a quiet time. It reads no clock and never waits."""


class Bucket:
    """Full at first. Times are seconds of any one clock."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def seconds(self, now: float) -> float:
        """Seconds until there is a token."""
        self._fill(now)
        return max(0.0, (1 - self._tokens) / self._rate)

    def spend(self, tokens: float, now: float) -> None:
        """Take tokens that were already used; the number can become negative, until new tokens arrive."""
        self._fill(now)
        self._tokens = max(-self._burst, self._tokens - tokens)

    def give_back(self) -> None:
        """Return a token that was taken and is not used."""
        self._tokens = min(self._burst, self._tokens + 1)

    def _fill(self, now: float) -> None:
        passed = now - (now if self._at is None else self._at)
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        self._at = now
