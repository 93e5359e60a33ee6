"""Stands in for the kubelet of vmguard's pods: each pod runs the real command as a process.

The real controllers do everything else: Deployment, ReplicaSets, scheduling and EndpointSlices. So an installation
starts, rolls and ends by its manifests. A pod gets addresses that only the control plane's `Egress` knows. Its process
listens on the loopback. It has the environment of the container, the token of the pod's ServiceAccount and the files of
its Secrets. The probes and the end of the process follow the pod. An image that is not in `images` cannot be pulled.
"""

import base64
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tests.controlplane.api import Api, ApiError, Object
from tests.controlplane.plane import ADMIN, RUN_ELSEWHERE, ControlPlane
from tests.controlplane.process import Process
from tests.support.egress import Egress
from tests.support.in_background import in_background
from tests.support.server import environment, serving_at

VMGUARD = f"app.kubernetes.io/name={RUN_ELSEWHERE}"
"""Selects the pods that this kubelet runs."""

_EVERY = 0.3
"""Seconds between two looks at the pods, and at their readiness."""

_LOOPBACK = "127.0.0.1:0"


class UnlikeKubeletError(RuntimeError):
    """A pod needs something that this stand-in does not do; the text names it."""


@dataclass
class ReplicaPod:
    """One pod and its process. `operations` is the address of its operations listener, "" before it serves."""

    pod: Object
    addresses: tuple[str, str]
    folder: Path
    process: Process | None = None
    restarts: int = 0
    ready: bool = False
    operations: str = ""
    kill_at: float | None = None
    written: object = None

    @property
    def name(self) -> str:
        found: str = self.pod["metadata"]["name"]
        return found

    @property
    def ways(self) -> tuple[str, str]:
        """Its addresses as the API server asks for them."""
        return self.addresses[0], f"[{self.addresses[1]}]"

    @property
    def log(self) -> str:
        """What its processes have written."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log-*")))


@dataclass
class StandInKubelet:
    """The pods of vmguard on all nodes. `settings` replace variables of the containers, by name."""

    plane: ControlPlane
    egress: Egress
    images: tuple[str, ...]
    settings: Mapping[str, str]
    replicas: dict[str, ReplicaPod] = field(default_factory=dict)
    error: Exception | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _count: int = 0

    def run(self) -> None:
        """Look after the pods until `end`."""
        api = self.plane.api_as(*ADMIN)
        while not self._over.wait(_EVERY):
            try:
                self._look(api)
            except (ApiError, httpx.TransportError):
                continue  # the API server is away, or the pod has changed: at the next look
            except Exception as error:  # noqa: BLE001 - the test reads it
                self.error = error
                return

    def end(self) -> None:
        """End every process, and look no more."""
        self._over.set()

    def running(self, namespace: str) -> list[ReplicaPod]:
        """The replicas of a namespace that are not being ended."""
        found = tuple(self.replicas.values())
        return [each for each in found if each.pod["metadata"]["namespace"] == namespace and each.kill_at is None]

    def _look(self, api: Api) -> None:
        pods = {each["metadata"]["uid"]: each for each in api.list("v1", "Pod", labelSelector=VMGUARD)}
        for uid in self.replicas.keys() - pods.keys():
            self._forget(uid)
        for uid, pod in pods.items():
            if not pod["spec"].get("nodeName"):
                continue
            if uid not in self.replicas:
                self._count += 1
                folder = self.plane.folder / f"vmguard-pod-{self._count}"
                folder.mkdir()
                addresses = f"10.9.{self._count // 250}.{self._count % 250 + 1}", f"fd00:9::{self._count:x}"
                self.replicas[uid] = ReplicaPod(pod, addresses, folder)
            self._look_after(api, self.replicas[uid], pod)

    def _forget(self, uid: str) -> None:
        replica = self.replicas.pop(uid)
        for each in replica.ways:
            self.egress.ports.pop(each, None)
        if replica.process:
            replica.process.end()

    def _look_after(self, api: Api, replica: ReplicaPod, pod: Object) -> None:
        replica.pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            self._end(api, replica, pod)
            return
        (container,) = pod["spec"]["containers"]
        if container["image"].rpartition("/")[2] not in self.images:
            self._write(
                api, replica, {"waiting": {"reason": "ErrImagePull", "message": "the stand-in has no such image"}}
            )
            return
        if replica.process is None or not replica.process.runs:
            replica.restarts += replica.process is not None
            replica.operations = ""
            replica.process = self._start(replica, pod, container)
        if not replica.operations:
            self._connect(replica)
        replica.ready = bool(replica.operations) and _answers(replica.operations, container["readinessProbe"])
        self._write(api, replica, {"running": {}})

    def _end(self, api: Api, replica: ReplicaPod, pod: Object) -> None:
        """SIGTERM, then SIGKILL after the grace period, and then the pod is gone."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if replica.kill_at is None:
            replica.kill_at = time.monotonic() + pod["metadata"]["deletionGracePeriodSeconds"]
            replica.ready = False
            if replica.process:
                replica.process.send(signal.SIGTERM)
        if replica.process and replica.process.runs:
            if time.monotonic() < replica.kill_at:
                return
            replica.process.end()
        api.request("DELETE", api.path("v1", "Pod", namespace, name), {"gracePeriodSeconds": 0})

    def _start(self, replica: ReplicaPod, pod: Object, container: Object) -> Process:
        namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        config = self.plane.kubeconfig_with(self.plane.token(namespace, account), replica.folder.name)
        mounted = self._mounted(replica, pod, container)
        variables = {each["name"]: _value(each, pod) for each in container.get("env", ())}
        variables = {name: mounted.get(value, value) for name, value in variables.items()}
        listen = {"VMGUARD_LISTEN": _LOOPBACK, "VMGUARD_OPS_LISTEN": _LOOPBACK}
        command = [sys.executable, "-m", "webhook.cli.main", *container["args"], "--kubeconfig", str(config)]
        log = replica.folder / f"log-{replica.restarts}"
        return Process(command, log, environment(**variables | listen | self.settings))

    def _mounted(self, replica: ReplicaPod, pod: Object, container: Object) -> dict[str, str]:
        """The folders with the files of mounted Secrets, by the path that the container knows."""
        volumes = {each["name"]: each for each in pod["spec"].get("volumes", ())}
        found = {}
        for mount in container.get("volumeMounts", ()):
            volume = volumes[mount["name"]]
            if mount["name"].startswith("kube-api-access-"):
                continue  # the token is in the kubeconfig
            if "secret" not in volume:
                raise UnlikeKubeletError(f"volume {mount['name']} of pod {replica.name} is no Secret")
            folder = replica.folder / mount["name"]
            folder.mkdir(exist_ok=True)
            secret = self.plane.api.get("v1", "Secret", volume["secret"]["secretName"], pod["metadata"]["namespace"])
            for key, value in secret.get("data", {}).items():
                (folder / key).write_bytes(base64.b64decode(value))
                (folder / key).chmod(0o600)
            found[mount["mountPath"]] = str(folder)
        return found

    def _connect(self, replica: ReplicaPod) -> None:
        """Route the pod's address to its process, as soon as that serves."""
        if replica.process and (found := serving_at(replica.process.log.read_text())):
            port, replica.operations = found
            self.egress.ports |= {key: [port] for key in replica.ways}

    def _write(self, api: Api, replica: ReplicaPod, state: Object) -> None:
        """The status of the pod, if that has changed."""
        if replica.written == (replica.ready, replica.restarts, *state):
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        meta, (container,) = replica.pod["metadata"], replica.pod["spec"]["containers"]
        conditions = {"Initialized": True, "ContainersReady": replica.ready, "Ready": replica.ready}
        known = {each["type"]: each for each in replica.pod["status"].get("conditions", ())}
        for kind, value in conditions.items():
            known[kind] = {"type": kind, "status": str(value), "lastTransitionTime": now}
        container_status = {
            "name": container["name"],
            "image": container["image"],
            "imageID": container["image"],
            "ready": replica.ready,
            "started": "running" in state,
            "restartCount": replica.restarts,
            "state": {"running": {"startedAt": now}} if "running" in state else state,
        }
        status = {
            "phase": "Running" if "running" in state else "Pending",
            "podIP": replica.addresses[0],
            "podIPs": [{"ip": each} for each in replica.addresses],
            "startTime": now,
            "conditions": list(known.values()),
            "containerStatuses": [container_status],
        }
        where = f"{api.path('v1', 'Pod', meta['namespace'], meta['name'])}/status"
        api.request("PATCH", where, {"status": status}, "application/merge-patch+json")
        replica.written = (replica.ready, replica.restarts, *state)


def _value(variable: Object, pod: Object) -> str:
    """The value of a variable, where it comes from the pod too."""
    if "value" in variable:
        found: str = variable["value"]
        return found
    path = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
    if not path.startswith("metadata."):
        raise UnlikeKubeletError(f"variable {variable['name']} does not come from the pod's metadata")
    value: str = pod["metadata"][path.removeprefix("metadata.")]
    return value


def _answers(operations: str, probe: Object) -> bool:
    """Whether the readiness probe succeeds."""
    with suppress(httpx.TransportError):
        url = f"{operations}{probe['httpGet']['path']}"
        return httpx.get(url, timeout=probe["timeoutSeconds"], trust_env=False).status_code == 200
    return False


@contextmanager
def stand_in_kubelet(
    plane: ControlPlane, egress: Egress, images: tuple[str, ...], **settings: str
) -> Iterator[StandInKubelet]:
    """The pods of vmguard run until the block ends. `settings` replace variables of the containers.

    Raises:
        UnlikeKubeletError: a pod needed something that the stand-in does not do.

    """
    made = StandInKubelet(plane, egress, images, settings)
    try:
        with in_background(made.run, made.end):
            yield made
    finally:
        for replica in made.replicas.values():
            if replica.process:
                replica.process.end()
    if made.error:
        raise made.error
