"""The weight of the cached objects of one collection, and the share of one namespace. Pure.

One object, and the objects of one namespace, may use a limited part of each replica's memory. So no tenant can fill it.
An object that does not fit is not cached, and vmguard reads it live for each pod.
"""

from collections import Counter

MOST_OF_NAMESPACE = 8 * 1024 * 1024
"""The most weight of one namespace in one collection: enough for thousands of resources like the recorded ones."""

ObjectKey = tuple[str, str]
"""Namespace ("" for a cluster-scoped object) and name."""


class CacheShare:
    """The weights of the cached objects of one collection."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._weights: dict[ObjectKey, int] = {}
        self._of_namespace: Counter[str] = Counter()

    def take(self, key: ObjectKey, weight: int) -> str:
        """Count an object in its new state; "" if it may be cached, else the reason, and then it does not count."""
        namespace = key[0]
        self.drop(key)
        if weight > self._largest:
            return (
                f"its spec is too large for the cache ({weight} bytes, at most {self._largest}): vmguard reads it for "
                "each pod"
            )
        if self._of_namespace[namespace] + weight > MOST_OF_NAMESPACE:
            return (
                f"the cache of namespace {namespace} is full ({MOST_OF_NAMESPACE} bytes): vmguard reads it for each pod"
            )
        self._weights[key] = weight
        self._of_namespace[namespace] += weight
        return ""

    def drop(self, key: ObjectKey) -> None:
        """No longer count an object."""
        weight = self._weights.pop(key, 0)
        self._of_namespace[key[0]] -= weight
        if not self._of_namespace[key[0]]:
            del self._of_namespace[key[0]]
