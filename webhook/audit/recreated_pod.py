"""A pod as it runs and as it will be, and the users that its containers get. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.volume_users import image_users
from webhook.policy.workload import Workload


class RecreatedPod(msgspec.Struct, frozen=True):
    """A pod as it runs and as it will be, both trimmed, with the workload that it belongs to."""

    namespace: str
    name: str
    workload: Workload
    now: Raw
    after: Raw


def new_users(change: RecreatedPod) -> Iterator[tuple[Raw, int | None, int]]:
    """The containers whose user changes, or may change: container, user now (None: not known), user afterwards."""
    now, after = change.now["spec"], change.after["spec"]
    reported = _reported_users(object_of(change.now.get("status")))
    images = image_users(change.workload.component)
    for group in ("containers", "initContainers"):
        for before, container in zip(objects_of(now.get(group)), objects_of(after.get(group)), strict=False):
            name = str(container.get("name"))
            image = images.get(name)
            user = _first(reported.get(name), _set_user(now, before), image)
            new = _first(_set_user(after, container), image, user)
            if new and new != user:
                yield container, user, new


def _set_user(spec: Raw, container: Raw) -> int | None:
    """The user that a container's context sets, else the pod's; None where neither does."""
    contexts = (object_of(container.get("securityContext")), object_of(spec.get("securityContext")))
    return _first(*(context.get("runAsUser") for context in contexts))


def _first(*users: Any) -> int | None:
    return next((user for user in users if isinstance(user, int) and not isinstance(user, bool)), None)


def _reported_users(status: Raw) -> dict[str, Any]:
    return {
        str(each.get("name")): object_of(object_of(each.get("user")).get("linux")).get("uid")
        for group in ("initContainerStatuses", "containerStatuses")
        for each in objects_of(status.get(group))
    }
