"""A mapping of limited size, so that keys from clients never fill the memory."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Latest(OrderedDict[K, V]):
    """A mapping of the `most` keys that were put or used most recently, the latest one at its end."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: K, value: V) -> None:
        """Set the value of a key; beyond `most`, it drops the key that was not used for the longest time."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)

    def use(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key; a missing key gets the value of `make`."""
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        else:
            self.move_to_end(key)
        return value
