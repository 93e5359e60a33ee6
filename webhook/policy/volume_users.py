"""Which users write to the volumes of a pod, and which data get another user when a pod takes the place of another.

A pod that runs as another user than the one before it may not be able to use the files that the first one wrote. Two
pods are compared by their specs: a predicted pod before and after an update of its resource, or a running pod and the
pod that will take its place. A user is the container's, else the pod's, else that of the image. Pure.

Source: kubelet (`SetVolumeOwnership`): with fsGroup it gives every file of the volume to that group and lets the group
write, and it never changes the owner. It does nothing for hostPath and NFS, nor for CSI drivers with
`fsGroupPolicy: None`; with `fsGroupChangePolicy: OnRootMismatch` it does nothing where the volume's root folder has the
group already.
"""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from webhook.policy.components import Component
from webhook.policy.conditions import text_at, value_at
from webhook.policy.json_access import Raw, object_of, objects_of

IGNORES_GROUP = {"hostPath": "hostPath", "nfs": "NFS"}
"""Kinds of volumes that fsGroup never reaches, and their names for people."""

NO_DATA = frozenset({"configMap", "downwardAPI", "emptyDir", "ephemeral", "image", "projected", "secret"})
"""Kinds of volumes whose files do not outlive the pod, or are not the pod's."""

ROOT = 0

Group = Literal["applied", "ignored", "unknown"]
"""Whether the kubelet applies fsGroup to a volume; `unknown` where the PersistentVolume or its driver is not known."""

Effect = Literal["cannot write", "first start", "every start", "unknown"]
"""What the new pod meets: files that it cannot write, or files that the kubelet gives to its group at a start."""


class VolumeWriter(msgspec.Struct, frozen=True):
    """A container that may write to a volume: where it mounts it, and its user, None where that is not known."""

    container: str
    path: str
    user: int | None


class OwnerChange(msgspec.Struct, frozen=True):
    """Data on a volume that one user wrote and another one will use, or that get another group.

    `kind` is the kind of volume, such as `persistentVolumeClaim`; `claim` is the name of the claim, "" for none.
    `user_before` is None where it is not known. The groups are the fsGroup of the pods, None where a pod has none.
    `on_mismatch` is true where the new pod has `fsGroupChangePolicy: OnRootMismatch`.
    """

    volume: str
    kind: str
    claim: str
    container: str
    path: str
    user_before: int | None
    user_after: int
    group_before: int | None
    group_after: int | None
    on_mismatch: bool

    def effect(self, group: Group = "unknown") -> Effect:
        """What the change means where the kubelet applies, or ignores, fsGroup on the volume."""
        same_user = self.user_before == self.user_after
        if self.kind in IGNORES_GROUP:
            group = "ignored"
        if self.group_after is None or group == "ignored":
            return "first start" if same_user else "cannot write"
        if self.group_after == self.group_before and not same_user:
            return "cannot write" if self.on_mismatch else "every start"
        return "unknown" if group == "unknown" else "first start"

    def text(self, command: str, group: Group = "unknown") -> str:
        """The change for a person: what happens, why, and what to do; `command` shows the owner of the data."""
        before = user_in_words(self.user_before)
        change = f"its data was written by {before}, pods will run as {self.user_after}"
        if self.user_before == self.user_after:
            change = f"pods will have fsGroup {self.group_after}, not {self.group_before or 'none'}"
        return f"volume {self.volume!r}: {change}{self._what_follows(self.effect(group))}. Check: {command}"

    def _what_follows(self, effect: Effect) -> str:
        if effect == "cannot write" and self.kind in IGNORES_GROUP:
            return f" and cannot write, as {IGNORES_GROUP[self.kind]} ignores fsGroup: chown it to {self.user_after}"
        if effect == "cannot write" and self.group_after is None:
            return f" without fsGroup and cannot write: set fsGroup: {self.user_after}"
        if effect == "cannot write" and self.group_after == self.group_before:
            return " and cannot write, as fsGroup is the same: set fsGroupChangePolicy: Always"
        if effect == "cannot write":
            return f" and cannot write, as its driver ignores fsGroup: chown it to {self.user_after}"
        start = "each start" if effect == "every start" else "the first start"
        unless = ", not on NFS" if effect == "unknown" else ""
        return f": {start} changes its group and may take long{unless}"


def image_users(component: Component) -> dict[str, int | None]:
    """The user of the image of each of the operator's containers by name, None where it is not known."""
    return {name: image.user for name, image in component.images.items()}


def user_in_words(user: int | None) -> str:
    """A user for a person: `root`, or `user 65534`."""
    if user is None:
        return "a user that is not known"
    return "root" if user == ROOT else f"user {user}"


def check_command(pod: str, path: str) -> str:
    """The command that shows the owner of a folder; `pod` is such as `-n mon vmsingle-db-0` or `-n mon deploy/x`."""
    return f"kubectl exec {pod} -- stat {shlex.quote(path)}"


def user_of(container: Raw, spec: Raw, images: Mapping[str, int | None]) -> int | None:
    """The user that a container runs as; `images` has the users of images by the container's name."""
    for holder in (container, spec):
        user = value_at(holder, ("securityContext", "runAsUser"))
        if type(user) is int:
            return user
    return images.get(text_at(container, ("name",)))


def writers(spec: Raw, images: Mapping[str, int | None]) -> dict[str, tuple[VolumeWriter, ...]]:
    """The containers and init containers that may write to each volume, by the volume's name; containers come first."""
    found: dict[str, list[VolumeWriter]] = {}
    for container in _containers(spec):
        user = user_of(container, spec, images)
        for mount in objects_of(container.get("volumeMounts")):
            if mount.get("readOnly") is not True:
                writer = VolumeWriter(text_at(container, ("name",)), text_at(mount, ("mountPath",)), user)
                found.setdefault(text_at(mount, ("name",)), []).append(writer)
    return {name: tuple(each) for name, each in found.items()}


def owner_changes(before: Raw, after: Raw, images: Mapping[str, int | None]) -> tuple[OwnerChange, ...]:
    """The data of a pod that get another user or group when another pod takes its place: one for each volume.

    Both are raw specs of pods. A volume counts where both pods have it, by name and content, and its files outlive the
    pod. There is no change to tell where the new user is not known.
    """
    had = {text_at(volume, ("name",)): volume for volume in objects_of(before.get("volumes"))}
    writers_before, writers_after = writers(before, images), writers(after, images)
    changes = []
    for volume in objects_of(after.get("volumes")):
        name = text_at(volume, ("name",))
        if had.get(name) != volume or not (kind := _kind(volume)):
            continue
        for writer in writers_after.get(name, ()):
            change = _change(volume, kind, writer, writers_before.get(name, ()), _pod(before), _pod(after))
            if change:
                changes.append(change)
                break
    return tuple(changes)


def _change(
    volume: Raw, kind: str, writer: VolumeWriter, earlier: tuple[VolumeWriter, ...], before: Raw, after: Raw
) -> OwnerChange | None:
    """The change for one container that writes to a volume: who wrote before is the same container, else the first."""
    same = [each for each in earlier if each.container == writer.container]
    wrote = next(iter((*same, *earlier)), None)
    if wrote is None or writer.user is None:
        return None
    group_before, group_after = _group(before), _group(after)
    new_user = writer.user not in {wrote.user, ROOT}
    new_group = group_after is not None and group_after != group_before and kind not in IGNORES_GROUP
    if not new_user and not (new_group and writer.user != ROOT):
        return None
    return OwnerChange(
        volume=text_at(volume, ("name",)),
        kind=kind,
        claim=text_at(volume, ("persistentVolumeClaim", "claimName")),
        container=writer.container,
        path=writer.path,
        user_before=wrote.user,
        user_after=writer.user,
        group_before=group_before,
        group_after=group_after,
        on_mismatch=after.get("fsGroupChangePolicy") == "OnRootMismatch",
    )


def _kind(volume: Raw) -> str:
    """The kind of a volume whose files outlive the pod, "" for another."""
    return next((kind for kind, source in volume.items() if isinstance(source, dict) and kind not in NO_DATA), "")


def _containers(spec: Raw) -> Iterator[Raw]:
    for group in ("containers", "initContainers"):
        yield from objects_of(spec.get(group))


def _pod(spec: Raw) -> Raw:
    return object_of(spec.get("securityContext"))


def _group(context: Raw) -> int | None:
    group: Any = context.get("fsGroup")
    return group if type(group) is int else None
