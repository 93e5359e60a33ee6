"""Decisions on pods that are identical apart from a generated name: the pods of one ReplicaSet or DaemonSet.

A pod gets the cached decision of an earlier pod when both have the same webhook, mode, enforcement level and Kubernetes
version. The objects of the owner chain, the annotations and the bytes of the spec must also be the same. Only the
generated name of the API server's token volume may differ.

Decisions read nothing else of a pod. They depend on the settings of the server, and a server has one cache. A decision
that could depend on that generated name is not cached (`_depends_on_name`). No denial is cached, and no decision on a
pod that names a PodSecurityPolicy. Memory is limited.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from webhook.admission.admission_review import PodObject
from webhook.facts import Found
from webhook.objects import Pod
from webhook.policy.custom_resources import GROUP
from webhook.policy.decide import Decision
from webhook.policy.token_volume import VOLUME
from webhook.policy.workload import Link

MOST_BYTES = 32 * 1024 * 1024
"""Most bytes of memory, about: the size of a pod's text is exact, and the rest of an entry is a high estimate."""

_ENTRY, _FINDING, _PARSED = 12 * 1024, 1024, 8
"""Bytes of an entry without its text, of each finding, and of an object for each byte of its JSON."""

LARGEST = 32 * 1024
"""Most bytes of a pod's text for a cached decision; recorded pods have 2 to 6 KiB."""

_FEWEST = 16
"""The cache has room for at least so many entries; a larger entry is not cached."""

_PREFIX = f"{VOLUME}-"
_BEFORE_NAME = b'"name":"'
_START = _BEFORE_NAME + _PREFIX.encode()
_TOKEN_NAME = re.compile(re.escape(_START) + rb'[a-z0-9]{5}"')
"""The name of the token volume as the API server generates and writes it (Kubernetes 1.20 to 1.37)."""

_ESCAPED = re.compile(rb"\\u00(?:2[dD]|3[0-9]|6[1-9a-fA-F]|7[0-9aA])")
"""A character that such a name may have, written as a JSON escape; the API server never does."""

_encode = msgspec.json.Encoder().encode


class Key(msgspec.Struct, frozen=True, gc=False):
    """Everything that the decision on a pod depends on.

    `parts` is the spec's text, split at the name of its token volume. `name` is that name, "" for none. `size` is the
    bytes of the text.
    """

    parts: tuple[Any, ...]
    name: str
    size: int


class _Entry(msgspec.Struct, frozen=True):
    """A decision. It refers to the chain, so that no other objects can get the identities in the key."""

    decision: Decision
    chain: tuple[Link, ...]
    size: int


class DecisionCache:
    """The decisions of one set of settings, the oldest first; it calls `count_hit` for each hit."""

    def __init__(self, count_hit: Callable[[], object] = lambda: None, most_bytes: int = MOST_BYTES) -> None:
        self._count_hit = count_hit
        self._most = most_bytes
        self._bytes = 0
        self._entries: dict[tuple[Any, ...], _Entry] = {}

    def get(self, key: Key) -> Decision | None:
        """The cached decision, None if there is none."""
        entry = self._entries.get(key.parts)
        if entry is None:
            return None
        self._count_hit()
        return entry.decision

    def add(self, key: Key, pod: Pod, decision: Decision, chain: tuple[Link, ...], volumes: frozenset[str]) -> None:
        """Cache the decision on a pod if all pods with this key get it; its resource has or mounts these volumes."""
        if not decision.allowed or (key.name and _depends_on_name(key, pod, decision, volumes)):
            return
        size = key.size + _ENTRY + _FINDING * len(decision.findings) + _size_of(chain)
        if size > self._most // _FEWEST:
            return
        replaced = self._entries.pop(key.parts, None)
        self._bytes += size - (replaced.size if replaced else 0)
        self._entries[key.parts] = _Entry(decision, chain, size)
        while self._bytes > self._most:
            self._bytes -= self._entries.pop(next(iter(self._entries))).size


def key_of(sent: PodObject, chain: tuple[Link, ...], *more: object) -> Key | None:
    """The key of a pod's decision; `more` are values outside pod and chain.

    None if the decision is not cached: the pod is unmanaged, its owners are not all known, or it is too large.
    """
    if not chain or chain[-1].ref.group != GROUP or type(chain[-1].fact) is not Found:
        return None
    text = bytes(sent.spec)
    annotations = _encode(sent.metadata.annotations) if sent.metadata.annotations else b""
    size = len(text) + len(annotations)
    if size > LARGEST:
        return None
    pieces: tuple[bytes, ...] = (text,)
    name = ""
    start = text.find(_START)  # faster than the expression
    if start >= 0 and (found := _TOKEN_NAME.match(text, start)):
        pieces = tuple(text.split(found[0]))
        name = found[0][len(_BEFORE_NAME) : -1].decode()
    objects = tuple([id(link.fact.object) for link in chain if type(link.fact) is Found])
    return Key((more, objects, annotations, pieces), name, size)


def _depends_on_name(key: Key, pod: Pod, decision: Decision, volumes: frozenset[str]) -> bool:
    """Whether another name of the token volume could lead to another decision.

    It cannot under three conditions. Only volumes and mounts have that name, all in one spelling. Nothing else in the
    pod or the resource has such a name. The decision does not contain it.
    """
    name, pieces = key.name, key.parts[-1]
    if any(_PREFIX.encode() in piece or _ESCAPED.search(piece) for piece in pieces):
        return True
    if any(volume.startswith(_PREFIX) for volume in volumes):
        return True
    containers = (*(pod.spec.containers or ()), *(pod.spec.init_containers or ()))
    mounts = [mount.name for container in containers for mount in container.volume_mounts or ()]
    names = [volume.name for volume in pod.spec.volumes or ()] + mounts
    if names.count(name) != len(pieces) - 1:
        return True
    return name in repr((decision.message, decision.patch, decision.warnings, decision.annotations, decision.findings))


def _size_of(chain: tuple[Link, ...]) -> int:
    """Bytes of the specs in an entry; the metadata of an object is small, or also cached elsewhere."""
    specs = [link.fact.object.spec for link in chain if type(link.fact) is Found and link.fact.object.spec]
    try:
        return sum(_PARSED * len(_encode(spec)) for spec in specs)
    except OverflowError:  # an integer of more than 64 bits
        return MOST_BYTES
