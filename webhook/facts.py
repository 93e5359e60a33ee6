"""The types of facts: what is known of the cluster while one request is decided, and who says so.

A fact is Found, Absent, NotServed or Unknown, and its `result` says so in one word. The four are never mixed up: "no
such object", "no such API" and "could not ask" lead to three different answers. A source (files, live look-ups, caches)
implements `FactSource`; nothing here looks anything up.
"""

import re
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from webhook.objects import KubeObject

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

ONCE = "once "
"""How a generation begins that is one request's alone: all is read for it, and not remembered to have been read."""


class FactSource(Protocol):
    """Where facts come from."""

    @property
    def minor(self) -> int:
        """The cluster's Kubernetes 1.x minor version."""

    @property
    def labels_suffice(self) -> bool:
        """True only of a source that was given nothing to know: then a pod's labels are all there is to judge by."""

    def at_hand(self, ref: Ref, generation: str = "") -> Fact | None:
        """What is known without waiting; None where `get` must be asked.

        Of a PodSecurityPolicy it may be older than what `get` says, which is never from memory.
        """

    async def get(self, ref: Ref, deadline: float, generation: str = "", requester: str = "") -> Fact:
        """The fact about one object; never raises. `deadline` is a time of the running loop's clock, in seconds.

        `requester` is the namespace that pays for looking up what belongs to the cluster.
        `generation` names the generation of pods that asks, "" for none: a source that keeps facts reads what pods are
        judged by anew for the first pod of a generation.
        """

    async def names(self, ref: Ref, deadline: float, requester: str = "") -> tuple[str, ...]:
        """Names of existing objects of the ref's kind and namespace, for an error message; () when not known."""


class MustWait(Exception):  # noqa: N818 - what is so, and nobody's error
    """A fact is not at hand."""


class AtHand:
    """What a source knows without waiting.

    Raises:
        MustWait: from whatever would have to be waited for.

    """

    def __init__(self, source: FactSource) -> None:
        self._source = source
        self.at_hand = source.at_hand

    @property
    def minor(self) -> int:
        return self._source.minor

    @property
    def labels_suffice(self) -> bool:
        return self._source.labels_suffice

    async def get(self, *_: Any, **__: Any) -> Fact:
        raise MustWait

    async def names(self, *_: Any, **__: Any) -> tuple[str, ...]:
        raise MustWait


_VERSION = re.compile(r"v?1\.([0-9]{1,3})(?:[.+-].*)?")


def parse_kubernetes_version(text: str) -> int:
    """The minor number in `1.30`, `v1.30.2`, `1.24+`, `v1.27.3-gke.100`.

    Raises:
        ValueError: not such a version; the message is for a person.

    """
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no Kubernetes version: write it like 1.30, v1.30.2 or 1.24+")
    return int(match.group(1))
