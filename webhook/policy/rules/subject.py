"""What a rule checks in each phase: the pod, container or reference, and the settings that matter. Decides nothing."""

import shlex
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from webhook.facts import Fact
from webhook.objects import Container, Pod
from webhook.podsecurity import Verdict
from webhook.policy.json_access import Raw, object_of, objects_of, texts_of
from webhook.policy.posture import Posture
from webhook.policy.volume_groups import VolumeGroup
from webhook.policy.workload import Workload, user_containers


class PolicyReference(msgspec.Struct, frozen=True):
    """A PodSecurityPolicy that something names: its name, the place of the name, and the fact about the policy.

    `similar` are existing policies with names like it. A reference is `settled` when it was there before this request,
    so a denial would not undo it.
    """

    name: str
    place: str
    fact: Fact
    similar: tuple[str, ...] = ()
    settled: bool = False


class Subject(msgspec.Struct, frozen=True):
    """One pod to judge. `minor` is the Kubernetes 1.x minor version; `in_daemonset` whether a DaemonSet runs it.

    `user_volumes` are the names of the volumes that its resource brings. `user_mounts` are the mounts at the token path
    that its resource brings, as names of container and volume. `user_containers` has the securityContext of each
    container and init container that its resource brings, by name; it is None where the resource is not known.
    `user_annotations` are the annotations that its resource brings.
    """

    pod: Pod
    minor: int
    in_daemonset: bool
    run_as_platform: bool
    harden_sidecars: bool
    user_volumes: frozenset[str] = frozenset()
    user_mounts: frozenset[tuple[str, str]] = frozenset()
    user_containers: dict[str, dict[str, Any]] | None = None
    user_annotations: dict[str, Any] = {}
    policies: tuple[PolicyReference, ...] = ()

    @property
    def windows(self) -> bool:
        os = self.pod.spec.os
        return os is not None and os.name == "windows"

    def containers(self) -> list[tuple[str, Container]]:
        """Init containers and containers with their JSON pointers, in the order in which they start."""
        spec = self.pod.spec
        groups: tuple[tuple[Literal["initContainers", "containers"], list[Container] | None], ...] = (
            ("initContainers", spec.init_containers),
            ("containers", spec.containers),
        )
        return [
            (f"/spec/{group}/{index}", container)
            for group, containers in groups
            for index, container in enumerate(containers or ())
        ]


def sysctl_name(sysctl: Raw) -> str:
    """The name of an entry of `sysctls`, with dots: Kubernetes also reads slashes as separators."""
    return str(sysctl.get("name")).replace("/", ".")


def arguments_of(container: dict[str, Any]) -> list[str]:
    """The arguments of a raw container as texts; [] where they are no list."""
    found = container.get("args")
    return [str(each) for each in found] if isinstance(found, list) else []


class PreviewedPod(msgspec.Struct, frozen=True):
    """A predicted pod as vmguard would admit it: raw, with all lists of a pod's spec.

    `before` and `after` are the Pod Security verdicts on it without vmguard, and as admitted. `earlier` is the spec of
    the pod before this update of the resource, None where there was none or nothing changes. `is_new` is whether
    the resource itself is new, as far as vmguard is told. `filling` is the context that vmguard fills
    in where it hardens the user's containers. `image_users` are the users of the images of the operator's containers,
    by the container's name; it is empty where `run_as_platform`, as the platform chooses the users then. `left_out` are
    the fields that the pod lacks of strict security, where the resource asks for it without effect.
    """

    pod: dict[str, Any]
    minor: int
    before: Verdict
    after: Verdict
    earlier: dict[str, Any] | None = None
    is_new: bool = False
    filling: dict[str, Any] = {}
    image_users: Mapping[str, int | None] = {}
    run_as_platform: bool = False
    left_out: tuple[str, ...] = ()


THIS_POD = "{pod}"
"""Replaced by `-n mon deploy/vmsingle-db` in a command of kubectl, as identical pods are judged once."""


class ReplacedPod(msgspec.Struct, frozen=True):
    """A running pod, and the pod that will take its place once it is created again: two raw specs.

    `namespace` and `name` are those of the running pod. `image_users` are the users of the images of the operator's
    containers, by the container's name, and `reported_users` the users that the status of the running pod reports.
    `groups` has by a volume's name what becomes of fsGroup there, where more is known than the pod itself shows.
    `operators` are the names of the operator's containers. `run_as_platform` is whether the platform chooses the users
    that the new pod does not set.
    """

    running: dict[str, Any]
    admitted: dict[str, Any]
    namespace: str
    name: str
    image_users: Mapping[str, int | None] = {}
    reported_users: Mapping[str, int] = {}
    groups: Mapping[str, VolumeGroup] = {}
    operators: frozenset[str] = frozenset()
    run_as_platform: bool = False

    @property
    def as_argument(self) -> str:
        """Its namespace and name as arguments of kubectl."""
        return shlex.join(("-n", self.namespace, self.name))


class ResourceObject(msgspec.Struct, frozen=True):
    """A custom resource that makes pods, as a person wrote it: its kind, and the whole raw object."""

    kind: str
    object: dict[str, Any]


class OperatorPod(msgspec.Struct, frozen=True):
    """A predicted pod as every operator makes it, with the contexts that the resource itself sets: its raw spec."""

    spec: dict[str, Any]
    minor: int


class EphemeralContainer(msgspec.Struct, frozen=True):
    """A new ephemeral container of a running pod: raw, with the raw spec of the pod."""

    container: dict[str, Any]
    spec: dict[str, Any]
    minor: int


class FlawedPod(msgspec.Struct, frozen=True):
    """A pod with findings, for which a rule makes fixes: raw, as vmguard would admit it, and its workload.

    `filling_pod` and `filling_container` are the security contexts that vmguard wants of it.
    """

    pod: dict[str, Any]
    minor: int
    workload: Workload
    posture: Posture
    filling_pod: dict[str, Any] = {}
    filling_container: dict[str, Any] = {}

    @property
    def spec(self) -> dict[str, Any]:
        return object_of(self.pod.get("spec"))

    @property
    def part(self) -> dict[str, Any]:
        """The component's part of the resource."""
        return self.posture.component.part_of(self.workload.spec)

    def container(self, name: str) -> dict[str, Any]:
        """The container or init container of that name, {} for none."""
        found = (each for group in _GROUPS for each in objects_of(self.spec.get(group)) if each.get("name") == name)
        return next(found, {})

    def at(self, path: str) -> str:
        """The name of the container that a JSON pointer leads into, "" for none."""
        _, _, group, index, *_ = (*path.split("/"), "", "", "")
        found = objects_of(self.spec.get(group)) if group in _GROUPS else []
        return str(found[int(index)].get("name")) if index.isdecimal() and int(index) < len(found) else ""

    def of_container(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Fields of one container as fields of the component's part."""
        first = objects_of(self.spec.get("initContainers"))
        group = "initContainers" if name in texts_of(first, "name") else "containers"
        return {group: [{"name": name, **fields}]}

    def comes_from_elsewhere(self, name: str) -> bool:
        """Whether neither the operator nor the resource brings a container."""
        return name not in self.posture.component.containers and name not in self.contexts_set

    @property
    def contexts_set(self) -> dict[str, dict[str, Any]]:
        """The securityContext that the resource sets in containers, by their names."""
        return user_containers(self.workload) or {}

    def unused(self, volume: str) -> str:
        """A name for a volume that the pod does not have yet."""
        names = texts_of(objects_of(self.spec.get("volumes")), "name")
        return next(
            each for each in (volume, *(f"{volume}-{n}" for n in range(2, len(names) + 3))) if each not in names
        )


_GROUPS = ("containers", "initContainers")
