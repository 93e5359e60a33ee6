"""What a rule is asked about: one pod, what the cluster is, and the settings a rule may heed. Decides nothing."""

from typing import Any, Literal

import msgspec

from webhook.facts import Fact
from webhook.objects import Container, Pod
from webhook.podsecurity import Verdict


class PolicyReference(msgspec.Struct, frozen=True):
    """A PodSecurityPolicy that something names: its name, where that stands, and what is known of it.

    `similar` are existing policies with names like it. `settled` when the reference was there before this request, so
    that refusing would not undo it.
    """

    name: str
    place: str
    fact: Fact
    similar: tuple[str, ...] = ()
    settled: bool = False


class Subject(msgspec.Struct, frozen=True):
    """One pod to judge. `minor` is the Kubernetes 1.x minor version; `in_daemonset` whether a DaemonSet runs it."""

    pod: Pod
    minor: int
    in_daemonset: bool
    run_as_platform: bool
    harden_sidecars: bool
    user_volumes: frozenset[str] = frozenset()
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
    """A pod that does not exist yet, as it would be admitted: raw, with the lists of a pod's spec all there.

    `before` and `after` are the Pod Security verdicts on it without vmguard, and as admitted. `claim` is the volume on
    which its component keeps its data for good; `turned_strict` when strict security is new. `filling` is the context
    that the user's containers are filled with when they are hardened.
    """

    pod: dict[str, Any]
    minor: int
    before: Verdict
    after: Verdict
    claim: str | None = None
    turned_strict: bool = False
    filling: dict[str, Any] = {}
