"""An audit's objects as a file: trimmed, in one List, so that the audit can be repeated with other settings.

A file of `kubectl get … -o json` or any other objects is read alike. What a List does not say of its cluster stands in
an item of vmguard's own kind at its end: name, version, and what could not be read.
"""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import msgspec

from webhook.audit.report import API_VERSION, LEVELS, MissingPermission
from webhook.audit.trimmed import trimmed
from webhook.offline.documents import COMMAND_LINE, read_documents
from webhook.offline.reply import LevelName
from webhook.policy.json_access import Raw, object_of

KIND = "AuditedCluster"
"""The kind of the item that says what the objects are from."""


class AuditedCluster(msgspec.Struct, frozen=True, rename="camel"):
    """Where saved objects are from. `others` has by namespace the lowest level of its pods that are not audited."""

    name: str
    minor: int
    missing: list[MissingPermission] = []
    others: dict[str, LevelName] = {}


class ObjectFile:
    """Writes trimmed objects into a file, one by one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._first = True
        file.write(b'{"apiVersion":"v1","kind":"List","items":[\n')

    def add(self, thing: Raw) -> None:
        """Write one object."""
        self._file.write((b"" if self._first else b",\n") + msgspec.json.encode(thing))
        self._first = False

    def end(self, cluster: AuditedCluster) -> None:
        """Write where the objects are from, and the end."""
        metadata = {"name": cluster.name}
        self.add({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "source": cluster})
        self._file.write(b"\n]}\n")


class SavedObjects(msgspec.Struct, frozen=True):
    """The objects of a file, trimmed: pods, and all others. `cluster` is None where the file does not name one."""

    pods: list[Raw]
    others: list[Raw]
    cluster: AuditedCluster | None


def read_saved(data: bytes) -> SavedObjects:
    """The objects of a file.

    Raises:
        DocumentError: it is neither JSON nor YAML.
        ValueError: it has something that is no Kubernetes object; the text says what.

    """
    pods: list[Raw] = []
    others: list[Raw] = []
    cluster = None
    for thing in _objects(_values(data)):
        if thing.get("kind") == KIND and thing.get("apiVersion") == API_VERSION:
            cluster = msgspec.convert(thing.get("source"), AuditedCluster)
            continue
        (pods if thing["kind"] == "Pod" else others).append(trimmed(thing))
    return SavedObjects(pods, others, cluster)


def _values(data: bytes) -> Iterator[Any]:
    try:
        yield msgspec.json.decode(data)
    except msgspec.DecodeError:
        yield from (document.value for document in read_documents(data, limits=COMMAND_LINE))


def _objects(values: Iterable[Any]) -> Iterator[Raw]:
    for value in values:
        kind = object_of(value).get("kind")
        if not isinstance(kind, str) or not isinstance(value.get("apiVersion"), str):
            raise ValueError("not a Kubernetes object: it has no kind or no apiVersion")  # noqa: TRY004
        if kind.endswith("List") and isinstance(value.get("items"), list):
            single = kind.removesuffix("List")
            typed = {"apiVersion": value["apiVersion"], "kind": single} if single else {}
            yield from _objects({**typed, **each} if isinstance(each, dict) else each for each in value["items"])
        else:
            yield value


def lowest_levels(levels: Iterable[tuple[str, LevelName]]) -> dict[str, LevelName]:
    """By namespace the lowest of its levels."""
    result: dict[str, LevelName] = {}
    for namespace, level in levels:
        result[namespace] = min(result.get(namespace, level), level, key=LEVELS.index)
    return result
