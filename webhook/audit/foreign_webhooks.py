"""Mutating webhooks of others that the API server calls for new pods: what they change, an audit cannot know. Pure.

vmguard is called in no fixed order with them, so a pod may be changed before or after it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from webhook.audit.selectors import Labels, matches
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.text import one_line

_OWN_NAME = ".vmguard.io"
_OWN_PATH = re.compile(r"/mutate(/|$)")
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_LONGEST = 120
_MOST = 3


class ForeignWebhooks:
    """The mutating webhooks of a cluster that are called for the creation of pods, without vmguard's own."""

    def __init__(self, configurations: Iterable[Raw]) -> None:
        self._entries = [entry for each in configurations for entry in _entries(each)]

    def of_pod(self, namespace: str, namespace_labels: Labels | None, labels: Labels | None) -> str:
        """The names of those that are or may be called for a pod, "" for none.

        Labels that are None are not known; then every selector of them may match.
        """
        where = None if namespace_labels is None else {_NAMESPACE_NAME: namespace, **namespace_labels}
        called = [
            name
            for name, entry in self._entries
            if (where is None or matches(entry.get("namespaceSelector"), where))
            and (labels is None or matches(entry.get("objectSelector"), labels))
        ]
        more = f" and {len(called) - _MOST} more" if len(called) > _MOST else ""
        return ", ".join(called[:_MOST]) + more


def _entries(configuration: Raw) -> Iterator[tuple[str, Raw]]:
    for entry in objects_of(configuration.get("webhooks")):
        name = str(entry.get("name") or "")
        if not _is_own(name, entry) and any(map(_is_for_pods, objects_of(entry.get("rules")))):
            yield one_line(name, _LONGEST), entry


def _is_own(name: str, entry: Raw) -> bool:
    path = object_of(object_of(entry.get("clientConfig")).get("service")).get("path")
    return name.endswith(_OWN_NAME) and bool(_OWN_PATH.match(str(path or "")))


def _is_for_pods(rule: Raw) -> bool:
    return (
        _has(rule.get("apiGroups"), "", "*")
        and _has(rule.get("operations"), "CREATE", "*")
        and _has(rule.get("resources"), "pods", "pods/*", "*", "*/*")
    )


def _has(found: Any, *values: str) -> bool:
    return isinstance(found, list) and any(value in found for value in values)
