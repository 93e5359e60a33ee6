"""The types of facts: what is known of the cluster while one request is decided, and how a decision requests it.

A fact is Found, Absent, NotServed or Unknown, and its `result` is that in one word. The four are never mixed up: "no
such object", "no such API" and "could not ask" lead to three different answers. A decision yields a `Lookup` for each
fact that it needs, and the driver of the decision answers it from a `FactSource`. Nothing here looks anything up.
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
    """Could not ask: forbidden, throttled, failed or timed out; `reason` is for a person."""

    result: ClassVar[str] = "unknown"
    age: ClassVar[float] = 0.0

    reason: str
    source: Source


Fact = Found | Absent | NotServed | Unknown


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """One object that a decision needs to know; the answer is a `Fact`.

    `generation` is the generation of pods that the request is about, "" for none: a source that caches facts reads
    the resource live for the first pod of a generation. `requester` is the namespace whose budget pays for a live read
    of an object that belongs to the cluster. A `fresh` fact is read live for this lookup alone, never from a cache.
    """

    ref: Ref
    generation: str = ""
    requester: str = ""
    fresh: bool = False


class Names(msgspec.Struct, frozen=True, gc=False):
    """The names of the existing objects of the ref's kind and namespace.

    The answer is a tuple of at most `MOST_NAMES` names, () where they are not known. `requester` is as in `Lookup`.
    """

    ref: Ref
    requester: str = ""


MOST_NAMES = 500
"""Names of one answer; with so many there may be more objects."""

Resolved = Fact | tuple[str, ...]
"""What answers a lookup: a fact for a `Lookup`, names for `Names`."""

T = TypeVar("T")

Steps = Generator[Lookup | Names, Any, T]
"""A computation without I/O: it yields the lookups it needs, is sent its `Resolved` value, and returns a result."""


class FactSource(Protocol):
    """Where facts come from."""

    @property
    def minor(self) -> int:
        """The cluster's Kubernetes 1.x minor version."""

    @property
    def labels_suffice(self) -> bool:
        """True only of a source that was given nothing to know: then a pod's labels are all there is to judge by."""

    def cached(self, lookup: Lookup | Names) -> Resolved | None:
        """The answer that is known without waiting; None where `get` must be awaited."""

    async def get(self, lookup: Lookup | Names, deadline: float) -> Resolved:
        """The answer, read live where it is not cached; never raises.

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
