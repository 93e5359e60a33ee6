"""Decisions on pods that are alike: pods of one template differ by name and by the suffix of their token volume.

Deciding is pure, so what was decided of one pod is the decision on the next for which everything is the same that
deciding reads: the very objects of its owner chain, its annotations, and its spec but for that suffix. Kept by whoever
serves, in a bounded memory; without it every decision comes out the same, and takes longer.
"""

from collections import OrderedDict

import msgspec

from webhook.facts import Found
from webhook.objects import Pod, PodSpec
from webhook.policy.decide import Decision, facts_line
from webhook.policy.rules.api_access import VOLUME
from webhook.policy.workload import Link

MOST_BYTES = 16 * 1024 * 1024
"""Of pods' text that is kept; the decisions beside it take up to a few times as much."""

LARGEST = 32 * 1024
"""Bytes of a pod's text that is kept at all; recorded pods have 2 to 6 KiB."""

Key = tuple[object, ...]

_encode = msgspec.json.Encoder().encode


class Alike:
    """What was decided, the least recently asked for first. One for one set of settings."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Key, tuple[Decision, tuple[Link, ...], int]] = OrderedDict()

    def key(self, pod: Pod, chain: tuple[Link, ...], user_volumes: frozenset[str], *asked: object) -> Key | None:
        """All that the decision on a pod depends on, and what else was asked; None for one that is not kept.

        `user_volumes` are volumes that its resource brings, which are never taken for the API server's.
        """
        if not chain:
            return None
        key: list[object] = [*asked]
        for link in chain:
            if type(link.fact) is not Found:
                return None
            key += (link.ref, id(link.fact.object))
        try:
            text = _without_suffix(pod.spec, user_volumes)
            annotations = _encode(pod.metadata.annotations)
        except OverflowError:  # an integer of more than 64 bits
            return None
        return (*key, annotations, text) if len(text) + len(annotations) <= LARGEST else None

    def get(self, key: Key, looked_up: tuple[Link, ...]) -> Decision | None:
        """The decision that was kept, on a pod whose facts are these."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        decision = kept[0]
        facts = facts_line(looked_up)
        if facts == decision.annotations["facts"]:
            return decision
        annotations = {**decision.annotations, "facts": facts}
        return msgspec.structs.replace(decision, annotations=annotations, looked_up=looked_up)

    def keep(self, key: Key, decision: Decision, chain: tuple[Link, ...]) -> None:
        """Keep a decision; the chain is held with it, as the key names its objects by identity."""
        size = sum(len(part) for part in key if isinstance(part, bytes))
        self._kept[key] = decision, chain, size
        self._bytes += size
        while self._bytes > self._most:
            self._bytes -= self._kept.popitem(last=False)[1][2]


def _without_suffix(spec: PodSpec, user_volumes: frozenset[str]) -> bytes:
    """The spec's text, with a number in place of the name of the one token volume that the API server made."""
    text = _encode(spec)
    made = [volume.name for volume in spec.volumes or () if volume.name.startswith(f"{VOLUME}-")]
    if len(made) != 1 or made[0] in user_volumes:
        return text
    name = made[0]
    mounts = sum(
        mount.name == name
        for containers in (spec.containers, spec.init_containers)
        for container in containers or ()
        for mount in container.volume_mounts or ()
    )
    quoted = _encode(name)
    if text.count(quoted[1:-1]) != 1 + mounts:  # it stands elsewhere too, where it may mean something
        return text
    return text.replace(b'"name":' + quoted, b'"name":0')
