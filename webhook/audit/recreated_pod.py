"""A pod as it runs and as it will be, and the users that its containers get. Pure."""

from collections.abc import Iterator

import msgspec

from webhook.policy.conditions import value_at
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.volume_users import ROOT, image_users, user_of
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
            user = reported.get(str(container.get("name")))
            user = user_of(before, now, images) if user is None else user
            new = user_of(container, after, images)
            if new not in {None, ROOT, user}:
                yield container, user, new


def _reported_users(status: Raw) -> dict[str, int]:
    """The users that running containers have, by the container's name, as newer kubelets report them."""
    found = (
        (str(each.get("name")), value_at(each, ("user", "linux", "uid")))
        for group in ("initContainerStatuses", "containerStatuses")
        for each in objects_of(status.get(group))
    )
    return {name: user for name, user in found if type(user) is int}
