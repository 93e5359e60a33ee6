"""What the cached objects of one collection weigh, and the share of one namespace. Pure.

A tenant pays for itself: one object and the objects of one namespace have a bounded part of the memory that every
replica holds. What does not fit is not cached, and read live for each pod.
"""

from collections import Counter

MOST_OF_NAMESPACE = 8 * 1024 * 1024
"""The weight of one namespace in one collection: thousands of resources as they are recorded."""

ObjectKey = tuple[str, str]
"""Namespace ("" for a cluster-scoped object) and name."""


class CacheShare:
    """The weights of the cached objects of one collection."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._weights: dict[ObjectKey, int] = {}
        self._of_namespace: Counter[str] = Counter()

    def take(self, key: ObjectKey, weight: int) -> str:
        """Count an object in its new state; "" if it may be cached, else why not, and then it does not count."""
        namespace = key[0]
        self.drop(key)
        if weight > self._largest:
            return f"its spec is too large to be cached ({weight} of at most {self._largest}): it is read for each pod"
        if self._of_namespace[namespace] + weight > MOST_OF_NAMESPACE:
            return (
                f"the resources of namespace {namespace} are too large to be cached together: it is read for each pod"
            )
        self._weights[key] = weight
        self._of_namespace[namespace] += weight
        return ""

    def drop(self, key: ObjectKey) -> None:
        """Count an object no more."""
        weight = self._weights.pop(key, 0)
        self._of_namespace[key[0]] -= weight
        if not self._of_namespace[key[0]]:
            del self._of_namespace[key[0]]
