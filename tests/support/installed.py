"""vmguard as people install it, in a cluster whose controllers are real, while pods of the operator are created."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.plane import ADMIN, API_SERVER, ControlPlane, control_plane
from tests.controlplane.stand_in_kubelet import VMGUARD, ReplicaPod, StandInKubelet, stand_in_kubelet
from tests.support.admission_pods import weak_pod
from tests.support.egress import egress_of
from tests.support.in_background import in_background
from tests.support.pod_load import is_hardened
from webhook.manifests.installation import VERSION

IMAGE = "vmguard"
LATER = "0.2.0"
"""The tag of a later version in tests; its image runs the same program."""

ADDRESSES = "--enable-aggregator-routing=true"
"""The API server chooses an address from the endpoints of the Service itself."""

NAMESPACE = "vmguard-system"
"""The namespace of the default overlay."""

_EVERY = 0.05
"""Seconds between two creates."""


@dataclass
class InstalledCluster:
    """A cluster, and the kubelet that runs vmguard's pods in it."""

    plane: ControlPlane
    kubelet: StandInKubelet

    def kubectl(self, *arguments: str) -> str:
        """The standard output of a command that must succeed."""
        done = self.plane.kubectl(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rolled_out(self, namespace: str = NAMESPACE, name: str = "vmguard") -> list[str]:
        """Wait until each replica of the Deployment is of its newest template; their images."""

        def done() -> list[str]:
            if self.kubelet.error:
                raise self.kubelet.error
            found = self.plane.api.get("apps/v1", "Deployment", name, namespace)
            status, wanted = found.get("status", {}), found["spec"]["replicas"]
            fresh = status.get("observedGeneration") == found["metadata"]["generation"]
            counts = [status.get(each, 0) for each in ("replicas", "updatedReplicas", "availableReplicas")]
            if not fresh or counts != [wanted] * 3:
                return []
            pods = self.plane.api.list("v1", "Pod", namespace, labelSelector=VMGUARD)
            left = [each["spec"] for each in pods if "deletionTimestamp" not in each["metadata"]]
            return [each["containers"][0]["image"] for each in left]

        return wait_for(done, f"Deployment {namespace}/{name} to be rolled out")

    def pods(self) -> list[ReplicaPod]:
        """All replicas."""
        return list(self.kubelet.replicas.values())

    def pod(self, namespace: str) -> dict[str, Any]:
        """A pod that a ReplicaSet of a VMSingle would make, without security settings, of a new namespace."""
        self.plane.namespace(namespace)
        return weak_pod(self.plane, namespace, privileged=False)

    def created(self, pod: dict[str, Any], namespace: str) -> dict[str, Any] | None:
        """The pod as it would be stored, None where the API server cannot call vmguard."""
        try:
            return self.plane.api.create(pod, namespace, dryRun="All")
        except ApiError as error:
            if "failed calling webhook" in str(error):
                return None
            raise

    def hardened(self, pod: dict[str, Any], namespace: str) -> bool:
        """Whether a pod is created, and hardened."""
        made = self.created(pod, namespace)
        return made is not None and is_hardened(made)

    @contextmanager
    def creating(self, pod: dict[str, Any], namespace: str) -> Iterator["Creates"]:
        """Create this pod again and again until the block ends."""
        made = Creates(self.plane, pod, namespace)
        with in_background(made.run, made.over.set):
            yield made


@dataclass
class Creates:
    """What became of pods that are created one after another; none is stored."""

    plane: ControlPlane
    pod: dict[str, Any]
    namespace: str
    hardened: int = 0
    unhardened: int = 0
    refused: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Create until `over`."""
        api = self.plane.api_as(*ADMIN)
        while not self.over.wait(_EVERY):
            try:
                made = api.create(self.pod, self.namespace, dryRun="All")
            except ApiError as error:
                self.refused.append(str(error))
                continue
            if is_hardened(made):
                self.hardened += 1
            else:
                self.unhardened += 1

    def wait(self, creates: int = 20) -> None:
        """Wait until there are so many creates more."""
        wanted = self.count + creates
        wait_for(lambda: self.count >= wanted, f"{creates} creates")

    @property
    def count(self) -> int:
        """The number of creates so far."""
        return self.hardened + self.unhardened + len(self.refused)


@contextmanager
def cluster(version: str, *flags: str, **settings: str) -> Iterator[InstalledCluster]:
    """A cluster without vmguard, where its images can be pulled. `flags` are more arguments of the API server.

    `settings` replace variables of vmguard's containers.
    """
    images = tuple(f"{IMAGE}:{tag}" for tag in (VERSION, LATER))
    routing = {API_SERVER: [ADDRESSES, *flags]}
    with (
        control_plane(version, nodes=True, flags=routing) as plane,
        egress_of(plane) as egress,
        stand_in_kubelet(plane, egress, images, **settings) as kubelet,
    ):
        plane.install_resources()
        yield InstalledCluster(plane, kubelet)
