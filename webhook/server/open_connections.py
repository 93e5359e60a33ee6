"""The open connections of one listener, from their acceptance on, and which one is closed when there are too many.

A client that opens connections and does not use them must not shut the API server out. So when the listener is full,
the new connection is taken and another one is closed: one that has carried no request before one that has, and one that
has carried a valid review last; of the address that has most of them, the one that is idle the longest. Konnectivity
and NAT make all API servers one address, so no address has a fixed share.
"""

import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Protocol

MOST = 1000
"""At one time. An API server keeps up to 25 idle ones. One idle TLS connection takes about 50 KB."""

LONG_WAIT = 1.0
"""Seconds for an answer; most requests wait for nothing, and a lookup takes milliseconds."""


class Closable(Protocol):
    """A connection that can be closed from outside. `idle_since` is when it was last used, in seconds of the loop."""

    reviewed: bool
    idle_since: float

    @property
    def waiting_since(self) -> float:
        """When the request that is being answered began, in seconds of the loop."""

    @property
    def answering(self) -> bool:
        """Whether a request is whole and not answered yet."""

    def make_way(self) -> None:
        """Close at once, also during the handshake."""


class OpenConnections:
    """The connections of one listener.

    `closed` counts those that made room for others, and `last_closed` is the address of the last of them. `refused`
    counts those not taken. `clock` is the loop's, in seconds.
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
        """Take a new connection from a host, and close another one where there are too many.

        False where the new one is not taken: every other one has been answering a request for a moment only.
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
        """Take note that a connection has carried its first request."""
        address = self._addresses.get(connection)
        if address is not None and connection not in self._used:
            self._forget_unused(connection, address)
            self._used[connection] = address

    def remove(self, connection: Closable) -> None:
        """Forget a connection that is closed; nothing happens where it is not known."""
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
        """The oldest connection without a request, of the address that has most of them."""
        if not self._unused:
            return None
        longest = max(self._unused.values(), key=len)
        for queue in (longest, *self._unused.values()):  # the others only where all of that address are answering
            connection = next((each for each in queue if not each.answering), None)
            if connection is not None:
                return connection
        return None

    def _first_used(self) -> Closable | None:
        """Of the connections that have carried requests, the one that is idle the longest, as above."""
        idle = [each for each in self._used if not each.answering]
        candidates = self._of_most_frequent_address([each for each in idle if not each.reviewed] or idle)
        return min(candidates, key=lambda each: each.idle_since, default=None)

    def _first_waiting(self) -> Closable | None:
        """Of the connections that are answering, the one that waits the longest, as above; None without a long wait."""
        answering = [each for each in self._addresses if each.answering]
        candidates = self._of_most_frequent_address([each for each in answering if not each.reviewed] or answering)
        first = min(candidates, key=lambda each: each.waiting_since, default=None)
        return first if first and self._clock() - first.waiting_since >= LONG_WAIT else None

    def _of_most_frequent_address(self, connections: list[Closable]) -> list[Closable]:
        counts = Counter(self._addresses[each] for each in connections)
        most = max(counts.values(), default=0)
        return [each for each in connections if counts[self._addresses[each]] == most]


def address_of(host: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which one machine has as a whole."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
    return str(address)
