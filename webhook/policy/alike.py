"""Pods of one template are alike, and what was decided of one is the decision on the next.

Deciding is pure, so a decision can be kept by all that it depends on: the very objects of the owner chain, the
settings, and what of a pod rules may read. That is its annotations and all of its spec that is decoded, but for the
random suffix of the API server's token volume, which no finding names. Keeps so many and no more; fetches nothing.
"""

from typing import Any

import msgspec

from webhook.facts import Found
from webhook.objects import Pod, PodSpec
from webhook.policy.decide import Decision, facts_line
from webhook.policy.posture import Posture, posture_of
from webhook.policy.rules.api_access import VOLUME
from webhook.policy.workload import Link, Workload
from webhook.settings import Settings

MOST_STANDINGS = 512
MOST_DECISIONS = 64

Key = tuple[Any, ...]


class Standing(msgspec.Struct, eq=False):
    """Where the pods of one chain stand, and the decisions on them; `held` keeps what the ids in its key are of."""

    workload: Workload
    posture: Posture
    user_volumes: frozenset[str]
    held: tuple[object, ...]
    decisions: dict[Key, Decision]

    def keep(self, key: Key | None, decision: Decision) -> None:
        """Keep a decision; forget all others when there are too many."""
        if key is None:
            return
        if len(self.decisions) >= MOST_DECISIONS:
            self.decisions.clear()
        self.decisions[key] = decision


_standings: dict[Key, Standing] = {}


def known_standing(chain: tuple[Link, ...], settings: Settings) -> Standing | None:
    """The standing that was made of these very objects and settings, if it is still kept."""
    key = _chain_key(chain, settings)
    return None if key is None else _standings.get(key)


def standing_of(
    workload: Workload, user_volumes: frozenset[str], chain: tuple[Link, ...], settings: Settings
) -> Standing:
    """The standing of a workload, kept for the next pod of the same chain."""
    held = (settings, *(link.fact for link in chain))
    standing = Standing(workload, posture_of(workload, settings), user_volumes, held, {})
    key = _chain_key(chain, settings)
    if key is not None:
        if len(_standings) >= MOST_STANDINGS:
            _standings.clear()
        _standings[key] = standing
    return standing


def pod_key(pod: Pod, standing: Standing, *asked: object) -> Key | None:
    """All of a pod that its decision depends on, and what else was asked; None for a pod that is like no other."""
    try:
        return (*asked, _encode(pod.metadata.annotations), _without_suffix(pod.spec, standing.user_volumes))
    except OverflowError:  # an integer of more than 64 bits
        return None


def as_decided(decision: Decision, looked_up: tuple[Link, ...]) -> Decision:
    """A decision that was kept, on a pod whose facts are these."""
    if looked_up == decision.looked_up:
        return decision
    annotations = {**decision.annotations, "facts": facts_line(looked_up)}
    return msgspec.structs.replace(decision, annotations=annotations, looked_up=looked_up)


_encode = msgspec.json.Encoder().encode


def _chain_key(chain: tuple[Link, ...], settings: Settings) -> Key | None:
    if not chain:
        return None
    key: list[object] = [id(settings)]
    for link in chain:
        fact = link.fact
        if type(fact) is not Found:
            return None
        key += (link.ref, id(fact.object))
    return tuple(key)


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
