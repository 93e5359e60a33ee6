"""A vmguard process that the API server calls for the namespaces with one label.

Many of them serve in one control plane at the same time, each for its own namespaces.
"""

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
class LabelledGuard:
    """One registered vmguard; its namespaces are made by `namespace`."""

    plane: ControlPlane
    server: Server
    label: str

    def namespace(self, **labels: str) -> str:
        """The name of a new namespace; the API server calls this vmguard for its pods and resources."""
        return self.plane.namespace(f"{self.label}-{next(_COUNT)}", {LABEL: self.label, **labels})

    def decisions(self, namespace: str) -> list[dict[str, Any]]:
        """The log lines about the admissions of one namespace."""
        lines = self.server.lines()
        return [line for line in lines if line["message"] == "admission" and line["namespace"] == namespace]

    def audited(self, namespace: str) -> dict[str, str]:
        """The audit annotations of the last pod created in a namespace, from the API server's audit log."""

        def annotations() -> dict[str, str]:
            last: dict[str, str] = {}
            for event in self.plane.audit():
                of = event.get("objectRef", {})
                if of.get("namespace") == namespace and of.get("resource") == "pods" and event["verb"] == "create":
                    last = event.get("annotations", {})
            return {k.partition("/")[2]: v for k, v in last.items() if k.startswith("pods.vmguard.io/")}

        return wait_for(annotations, "audit annotations")


@contextmanager
def labelled_guards(
    plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., LabelledGuard]]:
    """A function that starts a vmguard once for each set of settings; all end with the block."""
    started: dict[tuple[tuple[str, str], ...], LabelledGuard] = {}
    with ExitStack() as stack:

        def guard(kubeconfig: Path | None = None, **environment: str) -> LabelledGuard:
            key = (("kubeconfig", str(kubeconfig)), *sorted(environment.items()))
            if key not in started:
                label = f"guard-{len(started)}"
                folder = tmp_path_factory.mktemp(label)
                config = kubeconfig or plane.kubeconfig()
                server = stack.enter_context(serving_cluster(folder, config, **environment))
                ca = Path(server.ca).read_bytes()
                stack.enter_context(registered(plane, server.url, ca, label))
                started[key] = LabelledGuard(plane, server, label)
            return started[key]

        yield guard
