"""An audit's objects as a file: trimmed, in one List, so that the audit can be repeated with other settings.

A file of `kubectl get … -o json` or any other objects is read too. The last item of a saved file is of vmguard's own
kind: the name and version of the cluster, and what could not be read there.
"""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import msgspec

from webhook.audit.odd_objects import BROKEN, broken
from webhook.audit.report import API_VERSION, MissingPermission
from webhook.audit.trimmed import trimmed
from webhook.offline.documents import COMMAND_LINE, read_documents
from webhook.offline.inputs import objects_in, typed, untyped
from webhook.offline.reply import LEVELS, LevelName
from webhook.policy.json_access import Raw, object_of

KIND = "AuditedCluster"
"""The kind of the item that says what the objects are from."""


class AuditedCluster(msgspec.Struct, frozen=True, rename="camel"):
    """Where saved objects are from. `unreadable` says by kind why objects are not among them.

    `others` has by namespace the lowest level of its pods that are not audited. `seen` are the namespaces of which all
    pods were read.
    """

    name: str
    minor: int
    missing: list[MissingPermission] = []
    unreadable: dict[str, str] = {}
    others: dict[str, LevelName] = {}
    seen: list[str] = []


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
    """The objects of a file, trimmed: pods, and all others. `cluster` is None where the file does not name one.

    `broken` names objects that cannot be read, and says why.
    """

    pods: list[Raw]
    others: list[Raw]
    cluster: AuditedCluster | None
    broken: list[str] = []


class _List(msgspec.Struct, rename="camel"):
    """A List whose items are undecoded."""

    kind: str
    api_version: str
    items: list[msgspec.Raw]


def read_saved(data: bytes) -> SavedObjects:
    """The objects of a file; pods that are finished or being deleted are left out.

    Raises:
        DocumentError: it is neither JSON nor YAML.
        ValueError: it has something that is no Kubernetes object; the text says what.

    """
    found = SavedObjects([], [], None, [])
    try:
        listed = msgspec.json.decode(data, type=_List)
    except (msgspec.DecodeError, RecursionError):
        for thing in _objects(_values(data)):
            found = _with(found, thing)
        return found
    for number, raw in enumerate(listed.items):
        try:
            for thing in _objects([typed(msgspec.json.decode(raw), listed.kind, listed.api_version)]):
                found = _with(found, thing)
        except BROKEN as error:
            found.broken.append(f"items[{number}]: {broken(error)}")
    return found


_OVER = frozenset({"Succeeded", "Failed"})


def _with(found: SavedObjects, thing: Raw) -> SavedObjects:
    """The objects with one more."""
    if thing.get("kind") == KIND and thing.get("apiVersion") == API_VERSION:
        return msgspec.structs.replace(found, cluster=msgspec.convert(thing.get("source"), AuditedCluster))
    if thing["kind"] != "Pod":
        found.others.append(trimmed(thing))
        return found
    over = object_of(thing.get("status")).get("phase") in _OVER
    if not over and not object_of(thing.get("metadata")).get("deletionTimestamp"):
        found.pods.append(trimmed(thing))
    return found


def _values(data: bytes) -> Iterator[Any]:
    try:
        yield msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        yield from (document.value for document in read_documents(data, limits=COMMAND_LINE))


def _objects(values: Iterable[Any]) -> Iterator[Raw]:
    for _, thing in objects_in((("", each) for each in values), untyped, _refuse):
        yield thing


def _refuse(problem: str) -> None:
    raise ValueError(problem)


def lowest_levels(levels: Iterable[tuple[str, LevelName]]) -> dict[str, LevelName]:
    """By namespace the lowest of its levels."""
    result: dict[str, LevelName] = {}
    for namespace, level in levels:
        result[namespace] = min(result.get(namespace, level), level, key=LEVELS.index)
    return result
