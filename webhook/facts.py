"""The types of facts about the cluster, and of the lookups with which a decision requests them.

A fact is Found, Absent, NotServed or Unknown, and its `result` is that word. Each of the four has its own consequence:
for example, "no such object", "no such API" and "no answer" lead to three different decisions. A decision yields a
`Lookup` for each fact that it needs, and the driver of the decision answers it from a `FactSource`. This module looks
up nothing.
"""

import re
from collections.abc import Generator
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from webhook.objects import KubeObject
from webhook.text import quoted

Source = Literal["file", "live", "cache"]

NEWEST_MINOR = 37
"""The newest Kubernetes 1.x minor release that this version of vmguard was tested with."""


class Ref(msgspec.Struct, frozen=True, gc=False):
    """What to look up: one object by group, kind, namespace ("" for cluster-scoped) and name.

    `version` is the API version the referrer used; `uid` is the UID that the object must have, "" for any.
    """

    group: str
    version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Found(msgspec.Struct, frozen=True, gc=False):
    """The object exists and this is its state; `age` in seconds since it was read."""

    result: ClassVar[str] = "found"

    object: KubeObject
    source: Source
    age: float = 0.0


class Absent(msgspec.Struct, frozen=True, gc=False):
    """The API is served and the object does not exist (or has another UID)."""

    result: ClassVar[str] = "absent"

    source: Source
    age: float = 0.0


class NotServed(msgspec.Struct, frozen=True, gc=False):
    """The cluster does not serve this API."""

    result: ClassVar[str] = "notserved"

    source: Source
    age: float = 0.0


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """There is no answer: forbidden, throttled, failed or timed out; `reason` is for a person."""

    result: ClassVar[str] = "unknown"
    age: ClassVar[float] = 0.0

    reason: str
    source: Source


Fact = Found | Absent | NotServed | Unknown


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """One object that a decision needs to know; the answer is a `Fact`.

    `generation` is the generation of pods that the request is about, "" for none: a source that caches facts reads
    the resource live for the first pod of a generation. `requester` is the namespace that is charged for a live read
    of an object that belongs to the cluster. A `fresh` fact is read live for this lookup alone, never from a cache.
    """

    ref: Ref
    generation: str = ""
    requester: str = ""
    fresh: bool = False


class Names(msgspec.Struct, frozen=True, gc=False):
    """The names of the existing objects of the ref's kind and namespace.

    The answer is a tuple of at most `MOST_NAMES` names, () if they are not known. `requester` is as in `Lookup`.
    """

    ref: Ref
    requester: str = ""


MOST_NAMES = 500
"""Most names of one answer; with so many there may be more objects."""

Resolved = Fact | tuple[str, ...]
"""The answer of a lookup: a fact for a `Lookup`, names for `Names`."""

T = TypeVar("T")

Steps = Generator[Lookup | Names, Any, T]
"""A computation without I/O: it yields lookups, receives the `Resolved` value of each, and returns a result."""


class FactSource(Protocol):
    """A source of facts."""

    @property
    def minor(self) -> int:
        """The cluster's Kubernetes 1.x minor version."""

    @property
    def labels_suffice(self) -> bool:
        """True only for a source without any objects: then only a pod's labels can decide."""

    def cached(self, lookup: Lookup | Names) -> Resolved | None:
        """The answer that needs no waiting; None if the caller must await `get`."""

    async def get(self, lookup: Lookup | Names, deadline: float) -> Resolved:
        """The answer, read live if it is not cached; never raises.

        `deadline` is a time of the running loop's clock, in seconds. A fact that is not known by then is Unknown.
        """


_VERSION = re.compile(r"v?1\.([0-9]{1,3})(?:[.+-].*)?")


def parse_kubernetes_version(text: str) -> int:
    """The minor number in `1.30`, `v1.30.2`, `1.24+`, `v1.27.3-gke.100`.

    Raises:
        ValueError: not such a version; the message is for a person.

    """
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is no Kubernetes version: write it like 1.30, v1.30.2 or 1.24+")
    return int(match.group(1))
