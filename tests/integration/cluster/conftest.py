"""vmguard between a real API server and its pods: a server process a set of settings, asked in its namespaces only."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.api import wait_for
from tests.controlplane.plane import ControlPlane
from tests.controlplane.registration import LABEL, registered
from tests.support.server import Server, serving_cluster

_COUNT = itertools.count(1)


@dataclass
class Guard:
    """One registered vmguard; its namespaces are made by `namespace`."""

    plane: ControlPlane
    server: Server
    label: str

    def namespace(self, **labels: str) -> str:
        """A new namespace whose pods and resources this vmguard is asked about."""
        return self.plane.namespace(f"{self.label}-{next(_COUNT)}", {LABEL: self.label, **labels})

    def decisions(self, namespace: str) -> list[dict[str, Any]]:
        """The log's lines on one namespace."""
        lines = self.server.lines()
        return [line for line in lines if line["message"] == "admission" and line["namespace"] == namespace]

    def audited(self, namespace: str) -> dict[str, str]:
        """The audit annotations of the last pod created in a namespace, as the API server wrote them down."""

        def found() -> dict[str, str]:
            said: dict[str, str] = {}
            for event in self.plane.audit():
                of = event.get("objectRef", {})
                if of.get("namespace") == namespace and of.get("resource") == "pods" and event["verb"] == "create":
                    said = event.get("annotations", {})
            return {k.partition("/")[2]: v for k, v in said.items() if k.startswith("pods.vmguard.io/")}

        return wait_for(found, "audit annotations")


@pytest.fixture(scope="session")
def guard(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Guard]]:
    """`guard(**environment)`: a vmguard with these settings, started once a run and registered."""
    with guards(plane, tmp_path_factory) as started:
        yield started


@pytest.fixture(scope="session")
def guard_124(plane_124: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Guard]]:
    """The same in the control plane of Kubernetes 1.24."""
    with guards(plane_124, tmp_path_factory) as started:
        yield started


@contextmanager
def guards(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Guard]]:
    """What makes vmguards in a control plane, one for each set of settings; all end with the block."""
    kept: dict[tuple[tuple[str, str], ...], Guard] = {}
    with ExitStack() as stack:

        def started(kubeconfig: Path | None = None, **environment: str) -> Guard:
            key = (("kubeconfig", str(kubeconfig)), *sorted(environment.items()))
            if key not in kept:
                label = f"guard-{len(kept)}"
                folder = tmp_path_factory.mktemp(label)
                config = kubeconfig or plane.kubeconfig()
                server = stack.enter_context(serving_cluster(folder, config, **environment))
                ca = Path(server.ca).read_bytes()
                stack.enter_context(registered(plane, server.url, ca, label))
                kept[key] = Guard(plane, server, label)
            return kept[key]

        yield started


@pytest.fixture(scope="session")
def watcher(plane):
    """Somebody who may list and watch everything and get nothing: what is not watched cannot be known."""
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["list", "watch"]}]
    rbac = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": "watcher"}, "rules": rules}
    reference = {"apiGroup": rbac, "kind": "ClusterRole", "name": "watcher"}
    subjects = [{"apiGroup": rbac, "kind": "Group", "name": "watchers"}]
    plane.api.create(role)
    plane.api.create({**role, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": subjects})
    return plane.kubeconfig("watcher", ("watchers",))
