"""The names in objects that somebody chose, for a report that must not have them. Pure."""

from collections.abc import Iterator
from typing import Any

from webhook.policy.components import COMPONENTS
from webhook.policy.json_access import Raw, object_of

_WORDS = frozenset(name for component in COMPONENTS for name in (component.name, *component.containers)) | {
    "kube-api-access",
    "kube-root-ca.crt",
    "vm-operator",
    "default",
}
"""Names that every cluster has."""

_NAMING = frozenset(
    {
        *("claimName", "destination", "driver", "generateName", "image", "mountPath", "name", "namespace", "path"),
        *("secretName", "server", "serviceAccountName", "storageClassName", "subPath", "volumeName"),
    }
)
"""Fields that hold a name."""

_MAPS = frozenset({"annotations", "extraArgs", "labels"})
"""Fields whose members are named, and have names as values."""


def names_of(thing: Raw) -> Iterator[str]:
    """All names in a trimmed object: its own, its namespace, labels, containers, volumes, images and places."""
    waiting: list[Any] = [thing]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            for field, each in value.items():
                if field in _MAPS:
                    yield from _chosen(*object_of(each), *object_of(each).values())
                elif field in _NAMING:
                    yield from _chosen(each)
                else:
                    waiting.append(each)


def _chosen(*names: Any) -> Iterator[str]:
    yield from (name for name in names if isinstance(name, str) and len(name) > 1 and name not in _WORDS)
