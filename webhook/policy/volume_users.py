"""Which users write to the volumes of a pod, and which data get another user when a pod takes the place of another.

A pod that runs as another user than the one before it may not be able to use the files that the first one wrote. Two
pods are compared by their specs: a predicted pod before and after an update of its resource, or a running pod and the
pod that will take its place. An audit, a review and the warning at `kubectl apply` all compare here, and all take their
words from the table EFFECTS. Pure.

A user is what the status of a running container reports (Kubernetes 1.33 and newer), else the container's, else the
pod's, else that of the image.

Source: kubelet (`SetVolumeOwnership`): with fsGroup it gives every file of the volume to that group and lets the group
write, and it never changes the owner. It does nothing for hostPath and NFS, nor for CSI drivers with
`fsGroupPolicy: None`; with `fsGroupChangePolicy: OnRootMismatch` it does nothing where the volume's root folder has the
group already.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from webhook.policy.components import Component
from webhook.policy.conditions import text_at, value_at
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.volume_groups import VolumeGroup, group_in_pod, read_only_volumes
from webhook.text import printable

ROOT = 0

NONE_REPORTED: Mapping[str, int] = {}
"""The users that the status of a pod reports, where there is none."""

Effect = Literal[
    "fsGroup ignored",
    "no fsGroup",
    "no fsGroup, storage unknown",
    "storage unknown",
    "same fsGroup",
    "first start",
    "every start",
    "platform chooses",
    "root without DAC_OVERRIDE",
    "becomes root without DAC_OVERRIDE",
    "reads only",
    "user unknown",
    "loses fsGroup",
    "new fsGroup",
]
"""What the new pod meets: files that it cannot use, or files that the kubelet gives to its group at a start."""

Certainty = Literal["breaks", "check", "works"]
"""Whether the pod stops working, may stop working, or only needs time."""


class Meaning(msgspec.Struct, frozen=True):
    """What an effect means: how certain it is, how a text on the volume ends, and what to do, "" for nothing.

    `{volume}`, `{verb}`, `{before}`, `{after}`, `{container}`, `{group}`, `{lost}` and `{other}` are those of the
    change.
    """

    certainty: Certainty
    text: str
    advice: str = ""


_USER = "{volume} was {verb} as {before}, pods will run as {after}"
_START = "the first start changes ownership and may take long"

EFFECTS: Mapping[Effect, Meaning] = {
    "fsGroup ignored": Meaning("breaks", _USER, "chown it to {after}"),
    "no fsGroup": Meaning("breaks", f"{_USER} without fsGroup", "set fsGroup: {after}"),
    "no fsGroup, storage unknown": Meaning("check", f"{_USER} without fsGroup", "set fsGroup: {after}"),
    "storage unknown": Meaning("check", f"{_USER}: on NFS they cannot write, else the first start may take long"),
    "same fsGroup": Meaning(
        "check",
        f"{_USER}: same fsGroup: no start changes a file",
        "set fsGroupChangePolicy: Always",
    ),
    "first start": Meaning("check", f"{_USER}: {_START}"),
    "every start": Meaning("check", f"{_USER}: each start changes ownership and may take long"),
    "platform chooses": Meaning("check", "{volume} was {verb} as {before}, the platform chooses the user of new pods"),
    "root without DAC_OVERRIDE": Meaning(
        "check",
        "{other} writes to {volume}; root in container {container!r} loses DAC_OVERRIDE: perhaps it cannot read them",
    ),
    "becomes root without DAC_OVERRIDE": Meaning(
        "check",
        "{volume} was {verb} as {before}; root in container {container!r} lacks DAC_OVERRIDE and may not be able to use"
        " the files",
    ),
    "reads only": Meaning("check", f"{_USER}: they may not be able to read it"),
    "user unknown": Meaning(
        "check", "{volume} will be used as user {after}; which user container {container!r} has now is not known"
    ),
    "loses fsGroup": Meaning(
        "check",
        "{volume} has files of group {lost}. Pods will not have this group and may not be able to write",
        "set fsGroup: {lost}",
    ),
    "new fsGroup": Meaning("works", f"{{volume}} gets fsGroup {{group}}: {_START}"),
}
"""Every effect, the worst first."""

KEEP_OWNER = "the files are the node's own and must keep their owner: mount it with readOnly: true"
"""What to do about a hostPath to files of the node's system."""

_WORST = tuple(EFFECTS)

_STAYS_ROOT: Effect = "root without DAC_OVERRIDE"
"""The effect that is reported beside the worst of the others, as it has another cause."""

GroupOf = Callable[[Raw], VolumeGroup | None]
"""From a volume of a pod to what becomes of fsGroup there; None where no data outlives the pod."""


class UsedMount(msgspec.Struct, frozen=True):
    """A container that mounts a volume: where, whether it may write, and its user, None where that is not known.

    `sets_user` and `non_root` are whether the spec sets a user for it, and forbids root. With `overrides` it has the
    capability DAC_OVERRIDE if it is root: it may use the files of all users. `groups` are those that the spec names for
    it, apart from fsGroup. `sets_group` is whether one of them is its own group.
    """

    container: str
    path: str
    read_only: bool
    user: int | None
    sets_user: bool
    non_root: bool
    overrides: bool
    groups: frozenset[int]
    sets_group: bool


class OwnerChange(msgspec.Struct, frozen=True):
    """Data on a volume that one user wrote and another one will use, or that get another group.

    `mounted` is the name of the volume in the pod. `user_before` is None where it is not known, and `user_after` where
    the platform chooses it. `group_before` and `group_after` are the fsGroup of the old and the new pod, None for none.
    `other` is another user of the new pod that writes there too, None for none.
    """

    effect: Effect
    mounted: str
    volume: VolumeGroup
    container: str
    path: str
    read_only: bool
    user_before: int | None
    user_after: int | None
    group_before: int | None
    group_after: int | None
    other: int | None = None

    @property
    def certainty(self) -> Certainty:
        return EFFECTS[self.effect].certainty

    @property
    def text(self) -> str:
        """The change for a person: what happens, and why."""
        return self._filled(EFFECTS[self.effect].text)

    @property
    def advice(self) -> str:
        """What to do, "" for nothing."""
        if self.volume.of_node and self.effect == "fsGroup ignored":
            return KEEP_OWNER
        return self._filled(EFFECTS[self.effect].advice)

    def _filled(self, text: str) -> str:
        return text.format(
            volume=self.volume.shown,
            verb="used" if self.read_only else "written",
            before=user_in_words(self.user_before),
            after=self.user_after,
            container=self.container,
            group=self.group_after,
            lost=self.group_before,
            other=user_in_words(self.other),
        )


def image_users(component: Component) -> dict[str, int | None]:
    """The user of the image of each of the operator's containers by name, None where it is not known."""
    return {name: image.user for name, image in component.images.items()}


def user_in_words(user: int | None) -> str:
    """A user for a person: `root`, or `user 65534`."""
    if user is None:
        return "a user that is not known"
    return "root" if user == ROOT else f"user {user}"


def check_command(pod: str, container: str, path: str) -> str:
    """The command that shows the owner of a folder; `pod` is such as `-n mon vmsingle-db-0` or `-n mon deploy/x`."""
    return command_in(pod, container, "stat", "--", path)


def command_in(pod: str, container: str, *command: str) -> str:
    """A command line in a running container; names and paths are a tenant's text, so each word is quoted."""
    return f"kubectl exec {pod} {printable(shlex.join(('-c', container, '--', *command)))}"


def user_of(container: Raw, spec: Raw, images: Mapping[str, int | None]) -> int | None:
    """The user that a container runs as; `images` has the users of images by the container's name.

    None where it is not known, or where runAsNonRoot forbids the image's user, root: someone must set another one.
    """
    for holder in (container, spec):
        user = value_at(holder, ("securityContext", "runAsUser"))
        if type(user) is int:
            return user
    user = images.get(text_at(container, ("name",)))
    forbidden = user == ROOT and {**_pod(spec), **_pod(container)}.get("runAsNonRoot") is True
    return None if forbidden else user


def lacks(context: Raw, capability: str) -> bool:
    """Whether root in a container with that context surely lacks a capability, which is its name without `CAP_`."""
    added, dropped = (_capabilities(context, field) & {"ALL", capability} for field in ("add", "drop"))
    return bool(dropped) and not added and context.get("privileged") is not True


def _capabilities(context: Raw, field: str) -> set[str]:
    found = value_at(context, ("capabilities", field))
    texts = found if isinstance(found, list) else []
    return {each.removeprefix("CAP_") for each in texts if isinstance(each, str)}


def reported_users(status: Raw) -> dict[str, int]:
    """The users that running containers have, by the container's name, as kubelets of 1.33 and newer report them."""
    found = (
        (text_at(each, ("name",)), value_at(each, ("user", "linux", "uid")))
        for group in ("initContainerStatuses", "containerStatuses")
        for each in objects_of(status.get(group))
    )
    return {name: user for name, user in found if type(user) is int}


def new_users(
    before: Raw, after: Raw, images: Mapping[str, int | None], reported: Mapping[str, int]
) -> Iterator[tuple[Raw, int | None, int]]:
    """The containers that get another user, or may: container, user before (None: not known), user afterwards.

    Root is no such user, as it may use the files of all. The arguments are as in `owner_changes`.
    """
    had = {text_at(container, ("name",)): container for container in _containers(before)}
    for container in _containers(after):
        name = text_at(container, ("name",))
        new = user_of(container, after, images)
        old = _running_user(had[name], before, images, reported) if name in had else new
        if new is not None and new not in {ROOT, old}:
            yield container, old, new


def _running_user(
    container: Raw, spec: Raw, images: Mapping[str, int | None], reported: Mapping[str, int]
) -> int | None:
    user = reported.get(text_at(container, ("name",)))
    return user_of(container, spec, images) if user is None else user


def mounts_of(
    spec: Raw, images: Mapping[str, int | None], reported: Mapping[str, int]
) -> dict[str, tuple[UsedMount, ...]]:
    """The mounts of each volume, by the volume's name; containers come before init containers."""
    found: dict[str, list[UsedMount]] = {}
    never_written = read_only_volumes(spec)
    for container in _containers(spec):
        name = text_at(container, ("name",))
        context = {**_pod(spec), **_pod(container)}
        user = _running_user(container, spec, images, reported)
        sets_user, non_root = type(context.get("runAsUser")) is int, context.get("runAsNonRoot") is True
        for mount in objects_of(container.get("volumeMounts")):
            path, volume = text_at(mount, ("mountPath",)), text_at(mount, ("name",))
            read_only = mount.get("readOnly") is True or volume in never_written
            overrides = not lacks(context, "DAC_OVERRIDE")
            sets_group = type(context.get("runAsGroup")) is int
            each = UsedMount(name, path, read_only, user, sets_user, non_root, overrides, _groups(context), sets_group)
            found.setdefault(volume, []).append(each)
    return {name: tuple(each) for name, each in found.items()}


def owner_changes(
    before: Raw,
    after: Raw,
    images: Mapping[str, int | None],
    *,
    by_platform: bool,
    group_of: GroupOf = group_in_pod,
    reported: Mapping[str, int] = NONE_REPORTED,
) -> tuple[OwnerChange, ...]:
    """The data of a pod that get another user or group when another pod takes its place: the worst for each volume.

    Beside it comes the first container that stays root and loses its power over the files of others. Both are raw specs
    of pods; `reported` are the users that the status of the first one reports. A volume counts where both pods have its
    content, whatever its name, and its files outlive the pod. `by_platform` is whether the platform chooses the user
    where the second one sets none. Otherwise there is no change to report where the new user is not known.
    """
    had = {text_at(volume, ("name",)): volume for volume in objects_of(before.get("volumes"))}
    renamed = {_content(volume): name for name, volume in had.items()}
    mounts_before = mounts_of(before, images, reported)
    mounts_after = mounts_of(after, {} if by_platform else images, NONE_REPORTED)
    pods = _Pods(_pod(before), _pod(after), by_platform)
    changes: list[OwnerChange] = []
    for volume in objects_of(after.get("volumes")):
        name = text_at(volume, ("name",))
        earlier = name if had.get(name) == volume else renamed.get(_content(volume))
        if earlier is None or not (group := group_of(volume)):
            continue
        mounts, data = mounts_after.get(name, ()), _Data.of(name, group, mounts_before.get(earlier, ()))
        other = next((each.user for each in mounts if not each.read_only and each.user not in {None, ROOT}), None)
        found = [change for each in mounts if (change := _change(data, each, other, pods))]
        of_users = [each for each in found if each.effect != _STAYS_ROOT]
        changes += sorted(of_users, key=lambda each: _WORST.index(each.effect))[:1]
        changes += [each for each in found if each.effect == _STAYS_ROOT][:1]
    return tuple(changes)


def _content(volume: Raw) -> str:
    """What two volumes of different names share if they hold the same files."""
    return repr(sorted((field, repr(value)) for field, value in volume.items() if field != "name"))


class _Pods(msgspec.Struct, frozen=True):
    """The security contexts of two pods, and whether the platform chooses the users of the second one."""

    before: Raw
    after: Raw
    by_platform: bool


class _Data(msgspec.Struct, frozen=True):
    """A volume with data: its name in the pod, what becomes of fsGroup there, and who used it before.

    `used_by` has the first mount of each container, `used` the first of all.
    """

    name: str
    volume: VolumeGroup
    used: UsedMount | None
    used_by: dict[str, UsedMount]

    @staticmethod
    def of(name: str, volume: VolumeGroup, mounts: tuple[UsedMount, ...]) -> "_Data":
        used_by = {each.container: each for each in reversed(mounts)}
        return _Data(name, volume, mounts[0] if mounts else None, used_by)


def _change(data: _Data, mount: UsedMount, other: int | None, pods: _Pods) -> OwnerChange | None:
    """The change for one mount. Who used the files before is the same container, else the first one.

    `other` is a user of the new pod that writes there and is not root, None for none.
    """
    used = data.used_by.get(mount.container, data.used)
    if used is None:
        return None
    effect = _effect(data.volume, mount, used, pods)
    stays_root = mount.user == ROOT == used.user and mount.container == used.container
    if stays_root and used.overrides and not mount.overrides and other is not None:
        effect = _STAYS_ROOT
    return effect and OwnerChange(
        effect=effect,
        mounted=data.name,
        volume=data.volume,
        container=mount.container,
        path=mount.path,
        read_only=mount.read_only,
        user_before=used.user,
        user_after=mount.user,
        group_before=_group(pods.before),
        group_after=_group(pods.after),
        other=other,
    )


def _effect(volume: VolumeGroup, mount: UsedMount, used: UsedMount, pods: _Pods) -> Effect | None:
    """What another user of a mount meets, None where nothing changes for it, or where that is not known."""
    group, group_before = _group(pods.after), _group(pods.before)
    if mount.user is None:
        loses_user = used.sets_user or (mount.non_root and not used.non_root)
        return "platform chooses" if pods.by_platform and loses_user and used.user is not None else None
    if mount.user == ROOT:
        loses_files = used.user not in {None, ROOT} and not mount.overrides and group in {None, ROOT}
        return "becomes root without DAC_OVERRIDE" if loses_files else None
    if used.user == mount.user:
        if group == group_before or volume.handling == "ignored" or mount.read_only:
            return None
        if group is not None:
            return "new fsGroup"
        # Without runAsGroup the image decides, which often has a group with the number of its user.
        kept = {ROOT, *mount.groups, *(() if mount.sets_group else (mount.user,))}
        return None if pods.by_platform or group_before in kept else "loses fsGroup"
    if used.user is None:
        return "user unknown"
    if mount.read_only:
        return "reads only"
    if volume.handling == "ignored":
        return "fsGroup ignored"
    if group is None:
        return "no fsGroup, storage unknown" if volume.handling == "unknown" else "no fsGroup"
    if group == group_before:
        return "same fsGroup" if pods.after.get("fsGroupChangePolicy") == "OnRootMismatch" else "every start"
    return "storage unknown" if volume.handling == "unknown" else "first start"


def _containers(spec: Raw) -> Iterator[Raw]:
    for group in ("containers", "initContainers"):
        yield from objects_of(spec.get(group))


def _pod(spec: Raw) -> Raw:
    return object_of(spec.get("securityContext"))


def _groups(context: Raw) -> frozenset[int]:
    """The groups that a context names for the processes, apart from fsGroup."""
    more = context.get("supplementalGroups")
    named = (context.get("runAsGroup"), *(more if isinstance(more, list) else ()))
    return frozenset(each for each in named if type(each) is int)


def _group(context: Raw) -> int | None:
    group: Any = context.get("fsGroup")
    return group if type(group) is int else None
