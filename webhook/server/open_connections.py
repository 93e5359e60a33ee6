"""The open connections of one listener, handshakes included, and the choice of one to close when there are too many.

A client that opens connections without using them must not shut the API server out. So a full listener accepts the new
connection and closes another one. It first closes connections without a request, and last those that had a valid
review. Among these it takes the address with the most connections, and of that address the longest idle connection.
Konnectivity and NAT give all API servers one address, so no address has a fixed share.
"""

import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Protocol

MOST = 1000
"""Most open connections. An API server keeps up to 25 idle ones. One idle TLS connection takes about 50 KB."""

LONG_WAIT = 1.0
"""Seconds that count as a long wait for an answer; most requests do not wait, and a lookup takes milliseconds."""


class Closable(Protocol):
    """A connection that can be closed from outside. `idle_since` is when it was last used, in seconds of the loop."""

    reviewed: bool
    idle_since: float

    @property
    def waiting_since(self) -> float:
        """When the current request began, in seconds of the loop."""

    @property
    def answering(self) -> bool:
        """Whether there is a complete request without an answer."""

    def make_way(self) -> None:
        """Close at once, also during the handshake."""


class OpenConnections:
    """The connections of one listener.

    `closed` counts those that were closed for others, and `last_closed` is the address of the last one. `refused`
    counts refused ones. `clock` is the loop's, in seconds.
    """

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._clock = clock
        self.closed = 0
        self.last_closed = ""
        self.refused = 0
        self._unused: dict[str, dict[Closable, None]] = {}
        self._used: dict[Closable, str] = {}
        self._addresses: dict[Closable, str] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    def add(self, connection: Closable, host: str) -> bool:
        """Add a new connection from a host, and close another one if there are too many.

        False if the new one is refused: all others have a request that has not waited long for its answer.
        """
        if connection in self._addresses:
            return True
        if len(self._addresses) >= self.most and not self._make_room():
            self.refused += 1
            return False
        address = self._addresses[connection] = address_of(host)
        self._unused.setdefault(address, {})[connection] = None
        return True

    def use(self, connection: Closable) -> None:
        """Record that a connection has had its first request."""
        address = self._addresses.get(connection)
        if address is not None and connection not in self._used:
            self._forget_unused(connection, address)
            self._used[connection] = address

    def remove(self, connection: Closable) -> None:
        """Remove a closed connection; nothing happens if it is unknown."""
        address = self._addresses.pop(connection, None)
        if address is not None and self._used.pop(connection, None) is None:
            self._forget_unused(connection, address)

    def _forget_unused(self, connection: Closable, address: str) -> None:
        queue = self._unused[address]
        del queue[connection]
        if not queue:
            del self._unused[address]

    def _make_room(self) -> bool:
        connection = self._first_unused() or self._first_used() or self._first_waiting()
        if connection is None:
            return False
        self.last_closed = self._addresses[connection]
        self.remove(connection)
        self.closed += 1
        connection.make_way()
        return True

    def _first_unused(self) -> Closable | None:
        """The oldest connection without a request, of the address with the most of them."""
        if not self._unused:
            return None
        longest = max(self._unused.values(), key=len)
        for queue in (longest, *self._unused.values()):  # the others only if all of that address are answering
            connection = next((each for each in queue if not each.answering), None)
            if connection is not None:
                return connection
        return None

    def _first_used(self) -> Closable | None:
        """Of the connections with earlier requests, the one with the longest idle time, in the same order."""
        idle = [each for each in self._used if not each.answering]
        candidates = self._of_most_frequent_address([each for each in idle if not each.reviewed] or idle)
        return min(candidates, key=lambda each: each.idle_since, default=None)

    def _first_waiting(self) -> Closable | None:
        """Of the answering connections, the one with the longest wait, in the same order; None without a long wait."""
        answering = [each for each in self._addresses if each.answering]
        candidates = self._of_most_frequent_address([each for each in answering if not each.reviewed] or answering)
        first = min(candidates, key=lambda each: each.waiting_since, default=None)
        return first if first and self._clock() - first.waiting_since >= LONG_WAIT else None

    def _of_most_frequent_address(self, connections: list[Closable]) -> list[Closable]:
        counts = Counter(self._addresses[each] for each in connections)
        most = max(counts.values(), default=0)
        return [each for each in connections if counts[self._addresses[each]] == most]


def address_of(host: str) -> str:
    """The address that counts: an IPv4 address, or the /64 of an IPv6 address, because one machine has a whole /64."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
    return str(address)
