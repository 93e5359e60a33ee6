"""Decisions on pods that are alike: pods of one template differ by name and by the suffix of their token volume.

Deciding is pure, so what was decided of one pod is the decision on the next for which everything is the same that
deciding reads: the very objects of its owner chain, its annotations, and the text of its spec but for that suffix. Kept
by whoever serves, in a bounded memory; without it every decision comes out the same, and takes longer.
"""

import msgspec

from webhook.admission.admission_review import PodObject
from webhook.facts import Found
from webhook.objects import Pod
from webhook.policy.custom_resources import GROUP
from webhook.policy.decide import Decision
from webhook.policy.token_volume import VOLUME
from webhook.policy.workload import Link

MOST_BYTES = 32 * 1024 * 1024
"""Of memory, about: a pod's text is exact, the rest of an entry is estimated high."""

_ENTRY, _FINDING, _PARSED = 12 * 1024, 1024, 8
"""Bytes of an entry beside its text and of each of its findings, and of an object for each byte of its JSON."""

LARGEST = 32 * 1024
"""Bytes of a pod's text that is kept at all; recorded pods have 2 to 6 KiB."""

_FEWEST = 16
"""Entries that there is room for at least; a larger one is not kept."""

_OF_ONE_LENGTH = 8
"""Texts of one length that are kept of one chain: the pods of a StatefulSet differ by their number."""

_PREFIX = f"{VOLUME}-".encode()
_BEFORE_NAME = b'"name":"'
_TOKEN = _BEFORE_NAME + _PREFIX

_encode = msgspec.json.Encoder().encode


class Key(msgspec.Struct, frozen=True, gc=False):
    """All that the decision on a pod depends on: `text` is its spec's, `parts` are the rest.

    `named` is what names its token volume in that text, b"" where there is none. `size` in bytes.
    """

    parts: tuple[object, ...]
    text: bytes
    named: bytes
    size: int


class _Kept(msgspec.Struct, frozen=True):
    """A decision; the chain is held with it, as the key names its objects by identity.

    `text` is the spec's in pieces, between which stood what names the token volume; `user_volumes` would be named so.
    """

    text: list[bytes]
    decision: Decision
    chain: tuple[Link, ...]
    user_volumes: frozenset[bytes]
    size: int


class DecisionCache:
    """What was decided, the oldest first. One for one set of settings."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: dict[tuple[object, ...], list[_Kept]] = {}

    def get(self, key: Key) -> Decision | None:
        """The decision that was kept. A volume that the pod's resource brings is never taken for the API server's."""
        for kept in self._kept.get(key.parts, ()):
            if key.named.join(kept.text) == key.text and key.named not in kept.user_volumes:
                return kept.decision
        return None

    def keep(
        self, key: Key, pod: Pod, decision: Decision, chain: tuple[Link, ...], user_volumes: frozenset[str]
    ) -> None:
        """Keep a decision on a pod whose resource brings these volumes."""
        names = frozenset(b'%b%b"' % (_BEFORE_NAME, name.encode(errors="replace")) for name in user_volumes)
        text = key.text.split(key.named) if key.named else [key.text]
        if key.named and (key.named in names or not _only_mounted(pod, key, text)):
            return
        size = key.size + _ENTRY + _FINDING * len(decision.findings) + _size_of(chain)
        if size > self._most // _FEWEST:
            return
        same_length = self._kept.setdefault(key.parts, [])
        if len(same_length) == _OF_ONE_LENGTH:
            self._bytes -= same_length.pop(0).size
        same_length.append(_Kept(text, decision, chain, names, size))
        self._bytes += size
        while self._bytes > self._most:
            self._bytes -= sum(kept.size for kept in self._kept.pop(next(iter(self._kept))))


def key_of(sent: PodObject, chain: tuple[Link, ...], *asked: object) -> Key | None:
    """What the decision on a pod depends on, and what else was asked; None for one that is not kept."""
    if not chain or chain[-1].ref.group != GROUP or type(chain[-1].fact) is not Found:
        return None  # nobody's pod, or one of which too little is known
    text, named = bytes(sent.spec), b""
    start = text.find(_TOKEN)
    if start >= 0:
        named = text[start : text.find(b'"', start + len(_TOKEN)) + 1]
        if b"\\" in named:
            return None
    annotations = _encode(sent.metadata.annotations) if sent.metadata.annotations else b""
    size = len(text) + len(annotations)
    objects = [id(link.fact.object) for link in chain if type(link.fact) is Found]
    parts = *asked, *objects, annotations, len(text), len(named)
    return Key(parts, text, named, size) if size <= LARGEST else None


def _size_of(chain: tuple[Link, ...]) -> int:
    """Bytes of the specs that an entry holds; the more of an object that is in other hands too."""
    specs = [link.fact.object.spec for link in chain if type(link.fact) is Found and link.fact.object.spec]
    try:
        return sum(_PARSED * len(_encode(spec)) for spec in specs)
    except OverflowError:  # an integer of more than 64 bits
        return MOST_BYTES


def _only_mounted(pod: Pod, key: Key, text: list[bytes]) -> bool:
    """Whether the name is that of one volume and its mounts, and of nothing that a decision could tell by name."""
    name = key.named[len(_BEFORE_NAME) : -1].decode(errors="replace")
    mounts = sum(
        mount.name == name
        for containers in (pod.spec.containers, pod.spec.init_containers)
        for container in containers or ()
        for mount in container.volume_mounts or ()
    )
    volumes = sum(volume.name == name for volume in pod.spec.volumes or ())
    return volumes == 1 and len(text) == 2 + mounts and not any(_PREFIX in piece for piece in text)
