"""What a rule checks in each phase: the pod, container or reference, and the settings that matter. Decides nothing."""

from typing import Any, Literal

import msgspec

from webhook.facts import Fact
from webhook.objects import Container, Pod
from webhook.podsecurity import Verdict


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


class PreviewedPod(msgspec.Struct, frozen=True):
    """A predicted pod as vmguard would admit it: raw, with all lists of a pod's spec.

    `before` and `after` are the Pod Security verdicts on it without vmguard, and as admitted. `claim` is the volume of
    its component's data if that is on a PersistentVolumeClaim. `turned_strict` is True when this update of the resource
    turns strict security on. `filling` is the context that vmguard fills in where it hardens the user's containers.
    """

    pod: dict[str, Any]
    minor: int
    before: Verdict
    after: Verdict
    claim: str | None = None
    turned_strict: bool = False
    filling: dict[str, Any] = {}


class OperatorPod(msgspec.Struct, frozen=True):
    """A predicted pod as every operator makes it, with the contexts that the resource itself sets: its raw spec."""

    spec: dict[str, Any]
    minor: int


class EphemeralContainer(msgspec.Struct, frozen=True):
    """A new ephemeral container of a running pod: raw, with the raw spec of the pod."""

    container: dict[str, Any]
    spec: dict[str, Any]
    minor: int
