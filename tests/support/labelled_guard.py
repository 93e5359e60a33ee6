"""A vmguard process that the API server calls for the namespaces with one label.

Many of them serve in one control plane at the same time, each for its own namespaces.
"""

import itertools
import json
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
        """The audit annotations of the last pod created in a namespace, by the entry for pods."""

        def annotations() -> dict[str, str]:
            found = [each for _, each in self._audited(namespace)]
            return _by_entry(found[-1], "pods.vmguard.io") if found else {}

        return wait_for(annotations, "audit annotations")

    def findings(self, namespace: str, name: str) -> list[dict[str, Any]]:
        """What the audit annotations `findings` list of the creations of one pod, by any entry; refused ones count."""

        def lists() -> list[str]:
            return [
                value
                for created, annotations in self._audited(namespace)
                if created == name
                for key, value in annotations.items()
                if key.endswith(".vmguard.io/findings")
            ]

        return [entry for text in wait_for(lists, "findings") for entry in json.loads(text)]

    def _audited(self, namespace: str) -> list[tuple[str, dict[str, str]]]:
        """The name and the audit annotations of each attempt to create a pod in a namespace."""
        found = []
        for event in self.plane.audit():
            of = event.get("objectRef", {})
            pod = of.get("resource") == "pods" and "subresource" not in of  # the scheduler creates `pods/binding`
            if pod and event["verb"] == "create" and of.get("namespace") == namespace:
                found.append((of.get("name", ""), event.get("annotations", {})))
        return found


def _by_entry(annotations: dict[str, str], entry: str) -> dict[str, str]:
    return {key.partition("/")[2]: value for key, value in annotations.items() if key.startswith(f"{entry}/")}


@contextmanager
def labelled_guards(
    plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., LabelledGuard]]:
    """A function that starts a vmguard once for each set of settings; all end with the block."""
    started: dict[tuple[tuple[str, str], ...], LabelledGuard] = {}
    with ExitStack() as stack:

        def guard(kubeconfig: Path | None = None, *, final_pods: bool = False, **environment: str) -> LabelledGuard:
            key = (("kubeconfig", str(kubeconfig)), ("final_pods", str(final_pods)), *sorted(environment.items()))
            if key not in started:
                label = f"guard-{len(started)}"
                folder = tmp_path_factory.mktemp(label)
                config = kubeconfig or plane.kubeconfig()
                server = stack.enter_context(serving_cluster(folder, config, **environment))
                ca = Path(server.ca).read_bytes()
                stack.enter_context(registered(plane, server.url, ca, label, final_pods=final_pods))
                started[key] = LabelledGuard(plane, server, label)
            return started[key]

        yield guard
