"""A real control plane: etcd, kube-apiserver and kube-controller-manager, on request with a node where pods run.

It starts in seconds, any number side by side, with all its files in one temporary folder; nothing of it outlives the
process that started it. The node is kwok's: pods on it become ready and run nothing.
"""

import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.controlplane.api import Api, ApiError, Object, wait_for
from tests.controlplane.build import programs
from tests.controlplane.folder import temporary_folder
from tests.controlplane.identity import Identities
from tests.controlplane.process import FailedError, Process
from tests.controlplane.versions import NEWEST, STAGES
from tests.support.patience import PATIENCE
from webhook.manifests.crds import definitions
from webhook.policy.custom_resources import GROUP, RESOURCES

API_SERVER, CONTROLLERS, SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"
ADMIN = ("admin", ("system:masters",))
NODE = "node-0"

RUN_ELSEWHERE = "vmguard"
"""The name, by the label `app.kubernetes.io/name`, of pods that kwok leaves alone: a stand-in runs a process for each.
"""

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "Metadata", "resources": [{"group": ""}, {"group": "operator.victoriametrics.com"}]},
        {"level": "None"},
    ],
}

Flags = Mapping[str, Sequence[str]]


class ControlPlane:
    """One control plane. `api` is its administrator's client; `folder` holds every file and log of it.

    Requests for Services come to the Unix socket `egress`, where a test listens that has one. With `endpoint_slices`
    the API server sends them to an address of the Service's EndpointSlice instead.
    """

    def __init__(
        self, folder: Path, version: str = NEWEST, flags: Flags | None = None, *, endpoint_slices: bool = False
    ) -> None:
        self.version = version
        self.folder = folder
        self.programs = programs(version)
        self._flags = flags or {}
        self._endpoint_slices = endpoint_slices
        self._held = socket.socket()  # never listens: it keeps the port ours while the API server is not there
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._held.bind(("127.0.0.1", 0))
        self.port: int = self._held.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.identities = Identities(folder)
        self._apis: list[Api] = []
        self.api = self.api_as(*ADMIN)
        self._running: dict[str, Process] = {}
        self.egress = folder / "egress.sock"
        (folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
        (folder / "egress.json").write_text(json.dumps(_egress(self.egress)))

    def start(self) -> None:
        """Start everything but the node's part, and return when it answers."""
        self._run("etcd", *self._etcd())
        self.start_api_server()
        self._run(CONTROLLERS, *self._controllers())
        self.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        self._wait(lambda: self.api.find("v1", "ServiceAccount", "default", "default"), "the controllers")

    def end(self) -> None:
        """End every program, at once and without ceremony."""
        for process in self._running.values():
            process.end()
        for api in self._apis:
            api.close()
        self._held.close()

    def start_api_server(self) -> None:
        """Start the API server on its port, for the first time or again."""
        self._run(API_SERVER, *self._api_server())
        self._wait(self._is_ready, "the API server to be ready")

    def stop_api_server(self, number: int = signal.SIGKILL) -> None:
        """End the API server and leave the rest running; with SIGTERM it waits for watches, 30 seconds and more."""
        self._running.pop(API_SERVER).end(number)

    def start_nodes(self) -> None:
        """Let pods run: a scheduler, and kwok that plays the kubelet of the one node."""
        self._run(SCHEDULER, *self._scheduler())
        stages = self.folder / STAGES
        stages.write_text(yaml.safe_dump_all(_leave(yaml.safe_load_all(self.programs[STAGES].read_text()))))
        self._run("kwok", f"--kubeconfig={self.kubeconfig()}", "--manage-all-nodes", f"--config={stages}")
        self._wait(self._node_is_ready, "the node to be ready")

    def check(self) -> None:
        """Raise FailedError if a program has ended that should run."""
        for process in self._running.values():
            process.check()

    def compact(self, version: str) -> None:
        """Let etcd forget everything before a resourceVersion."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=f"{self.folder}/clients.sock")) as etcd:
            asked = {"revision": version, "physical": True}
            etcd.post("http://etcd/v3/kv/compaction", json=asked).raise_for_status()

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._running.items()}

    def api_as(self, user: str, groups: tuple[str, ...] = ()) -> Api:
        """A client that is this user, by certificate."""
        api = Api(self.url, self.identities.context(self.identities.client(user, groups)))
        self._apis.append(api)
        return api

    def token(self, namespace: str, service_account: str) -> str:
        """A token of a ServiceAccount, for an hour, as the kubelet gets it for a pod."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        answer = self.api.request("POST", path, {"spec": {"expirationSeconds": 3600}})
        found: str = answer["status"]["token"]
        return found

    def api_with(self, token: str) -> Api:
        """A client that shows a token and no certificate."""
        api = Api(self.url, ssl.create_default_context(cafile=str(self.identities.ca)), token)
        self._apis.append(api)
        return api

    def kubeconfig_with(self, token: str, name: str) -> Path:
        """A kubeconfig file with a token and no certificate; `name` is that of the file."""
        return self.identities.kubeconfig_with(self.folder / f"{name}.kubeconfig", self.url, {"token": token})

    def kubeconfig(self, user: str = ADMIN[0], groups: tuple[str, ...] | None = None) -> Path:
        """A kubeconfig file of this user, by certificate; without arguments the administrator's."""
        groups = ADMIN[1] if user == ADMIN[0] and groups is None else groups or ()
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        return self.identities.kubeconfig(path, self.url, self.identities.client(user, groups))

    def kubectl(
        self, *arguments: str, stdin: str | None = None, user: str = ADMIN[0]
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl to its end; whether that is a success is the caller's to judge."""
        command = [self.programs["kubectl"], "--kubeconfig", self.kubeconfig(user), *arguments]
        environment = {"HOME": str(self.folder), "PATH": os.environ.get("PATH", "")}
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False
        )

    def audit(self) -> list[dict[str, Any]]:
        """What the API server has written into its audit log: writes to the core group and to the operator's."""
        log = self.folder / "audit.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """The name of a new namespace that is ready for pods: with its service account and the authority's config map.

        A name that is taken gets a number, because a fixture can be set up more than once on a server.
        """
        names = itertools.chain([name], (f"{name}-again-{turn}" for turn in itertools.count()))
        made = next(each for each in names if self._makes_namespace(each, labels or {}))
        self._wait(lambda: self.api.find("v1", "ServiceAccount", "default", made), f"the service account of {made}")
        return made

    def _makes_namespace(self, name: str, labels: Mapping[str, str]) -> bool:
        try:
            self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        except ApiError as error:
            if error.status != 409:
                raise
            return False
        return True

    def install_resources(self) -> None:
        """Make the operator's resources known, and return when they are served."""
        for each in definitions():
            self.api.create(each)
        self._wait(self._serves_resources, "the operator's resources to be served")

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self.programs[name]), *arguments, *self._flags.get(name, ())]
        self._running[name] = Process(command, self.folder / f"{name}.log")

    def _wait(self, probe: Any, what: str) -> Any:
        def checked() -> Any:
            self.check()
            return probe()

        try:
            return wait_for(checked, what)
        except TimeoutError as error:
            tails = "\n".join(f"--- {p.log}\n{p.tail()}" for p in self._running.values())
            raise FailedError(f"{error}\n{tails}") from None

    def _is_ready(self) -> bool:
        try:
            return self.api.request("GET", "/readyz") == "ok"
        except (httpx.TransportError, ApiError):
            return False

    def _serves_resources(self) -> bool:
        return all(self.api.serves(f"{GROUP}/{resource.storage}", resource.kind) for resource in RESOURCES)

    def _node_is_ready(self) -> bool:
        conditions: list[Object] = self.api.get("v1", "Node", NODE).get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _etcd(self) -> list[str]:
        peers, clients = f"unix://{self.folder}/peers.sock", f"unix://{self.folder}/clients.sock"
        return [
            f"--data-dir={self.folder}/etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]

    def _api_server(self) -> list[str]:
        who = self.identities
        return [
            f"--etcd-servers=unix://{self.folder}/clients.sock",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--permit-port-sharing=true",
            f"--tls-cert-file={who.certificate}",
            f"--tls-private-key-file={who.key}",
            f"--client-ca-file={who.ca}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={who.accounts_public}",
            f"--service-account-signing-key-file={who.accounts_key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            "--endpoint-reconciler-type=none",
            f"--audit-policy-file={self.folder}/audit-policy.json",
            f"--audit-log-path={self.folder}/audit.log",
            "--enable-aggregator-routing=true"
            if self._endpoint_slices
            else f"--egress-selector-config-file={self.folder}/egress.json",
        ]

    def _controllers(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig('system:kube-controller-manager')}",
            f"--service-account-private-key-file={self.identities.accounts_key}",
            f"--root-ca-file={self.identities.ca}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--secure-port=0",
            "--node-startup-grace-period=240h",  # without kwok nobody reports for the node: it stays untainted, so that
            "--node-monitor-grace-period=240h",  # DaemonSets make their pods
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]

    def _scheduler(self) -> list[str]:
        config = self.kubeconfig("system:kube-scheduler")
        return [f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0"]


def _leave(stages: Iterator[Object]) -> Iterator[Object]:
    """The stages of kwok, where those of pods do not select the ones that run elsewhere."""
    for stage in stages:
        if stage["spec"]["resourceRef"]["kind"] == "Pod":
            key = '.metadata.labels["app.kubernetes.io/name"]'
            selects = {"key": key, "operator": "NotIn", "values": [RUN_ELSEWHERE]}
            stage["spec"]["selector"]["matchExpressions"].append(selects)
        yield stage


def _egress(path: Path) -> dict[str, Any]:
    """The API server reaches webhooks behind a Service by HTTP CONNECT on a Unix socket, and nothing else."""
    connection = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": str(path)}}}
    return {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{"name": "cluster", "connection": connection}],
    }


@contextmanager
def control_plane(
    version: str = NEWEST, *, nodes: bool = False, flags: Flags | None = None, endpoint_slices: bool = False
) -> Iterator[ControlPlane]:
    """A running control plane, gone afterwards. `flags` are more arguments, by program.

    With `endpoint_slices` it sends requests for a Service to its EndpointSlice. That needs a network namespace.

    Raises:
        UnavailableError: it cannot be had on this machine.
        FailedError: something did not start; the text ends with what it logged.

    """
    with temporary_folder() as folder:
        plane = ControlPlane(folder, version, flags, endpoint_slices=endpoint_slices)
        try:
            plane.start()
            if nodes:
                plane.start_nodes()
            yield plane
        finally:
            plane.end()
