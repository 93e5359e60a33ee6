"""What a running pod loses when it is created again with other users. A part of `volume-ownership` and `sidecar`."""

import msgspec

from webhook.policy.json_access import object_of
from webhook.policy.rules.subject import ReplacedPod
from webhook.policy.volume_groups import group_in_pod
from webhook.policy.volume_users import OwnerChange, new_users, owner_changes


def changes_of(pod: ReplacedPod) -> tuple[OwnerChange, ...]:
    """The data of a running pod that get another user or group once it is created again."""
    return owner_changes(
        pod.running,
        pod.admitted,
        pod.image_users,
        by_platform=pod.run_as_platform,
        group_of=lambda volume: pod.groups.get(str(volume.get("name"))) or group_in_pod(volume, pod.name),
        reported=pod.reported_users,
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
    return tuple(
        InheritedUser(str(container.get("name")), before, after)
        for container, before, after in new_users(pod.running, pod.admitted, pod.image_users, pod.reported_users)
        if container.get("name") not in pod.operators
        and object_of(container.get("securityContext")).get("runAsUser") is None
    )
