"""What a running pod loses when it is created again with other users. A part of `volume-ownership` and `sidecar`."""

from collections.abc import Container, Iterable, Iterator, Mapping

import msgspec

from webhook.policy.json_access import Raw, object_of
from webhook.policy.rules.owner_changers import gives
from webhook.policy.rules.subject import ReplacedPod
from webhook.policy.volume_groups import group_in_pod
from webhook.policy.volume_users import NONE_REPORTED, Effect, OwnerChange, new_users, owner_changes

Images = Mapping[str, int | None]
"""The users of the images of containers, by the container's name."""


def changes_of(pod: ReplacedPod) -> tuple[OwnerChange, ...]:
    """The data of a running pod that get another user or group once it is created again."""
    changes = owner_changes(
        pod.running,
        pod.admitted,
        pod.image_users,
        by_platform=pod.run_as_platform,
        group_of=lambda volume: pod.groups.get(str(volume.get("name"))) or group_in_pod(volume, pod.name),
        reported=pod.reported_users,
    )
    return unsolved(changes, pod.admitted)


_BY_CHOWN: frozenset[Effect] = frozenset(
    {
        "fsGroup ignored",
        "no fsGroup",
        "no fsGroup, storage unknown",
        "storage unknown",
        "same fsGroup",
        "reads only",
        "user unknown",
        "loses fsGroup",
    }
)
"""The effects that an init container prevents that gives the files to the new user."""


def unsolved(changes: tuple[OwnerChange, ...], spec: Raw) -> tuple[OwnerChange, ...]:
    """The changes without those that an init container of the new pod's raw spec takes care of."""
    return tuple(
        each
        for each in changes
        if each.user_after is None or each.effect not in _BY_CHOWN or not gives(spec, each.mounted, each.user_after)
    )


class InheritedUser(msgspec.Struct, frozen=True):
    """A container of the user's that gets another user from its pod; `before` is None where it is not known."""

    container: str
    before: int | None
    after: int

    @property
    def text(self) -> str:
        """The change for a person."""
        now = "the user of its image" if self.before is None else f"user {self.before}"
        return f"container {self.container!r} inherits user {self.after} from the pod; now it runs as {now}"


def inherited_users(pod: ReplacedPod) -> tuple[InheritedUser, ...]:
    """The containers of a running pod that inherit another user once it is created again."""
    changes = new_users(pod.running, pod.admitted, pod.image_users, pod.reported_users)
    return tuple(_inherited(changes, pod.operators))


def inherited_at_update(
    before: Raw, after: Raw, images: Images, operators: Container[str]
) -> tuple[InheritedUser, ...]:
    """The containers of a predicted pod that inherit another user after an update; both are raw specs."""
    return tuple(_inherited(new_users(before, after, images, NONE_REPORTED), operators))


def _inherited(changes: Iterable[tuple[Raw, int | None, int]], operators: Container[str]) -> Iterator[InheritedUser]:
    for container, before, after in changes:
        name = str(container.get("name"))
        if name not in operators and object_of(container.get("securityContext")).get("runAsUser") is None:
            yield InheritedUser(name, before, after)
