"""vmguard between a real API server and its pods: a server process a set of settings, called for its namespaces only.

The configurations are the product's own, narrowed to namespaces with a label of the test's, so that many servers can
be registered in one control plane and other tests' pods are left alone.
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
from tests.support.server import Server, serving_cluster
from webhook.manifests.webhooks import Url, configurations

_COUNT = itertools.count(1)
LABEL = "vmguard-test"


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

    def audited(self, namespace: str, webhook: str = "pods", verb: str = "create") -> dict[str, str]:
        """The audit annotations of the last pod created in a namespace, as the API server wrote them down.

        Those of one webhook of the configurations, by its name.
        """

        def found() -> dict[str, str]:
            said: dict[str, str] = {}
            for event in self.plane.audit():
                of = event.get("objectRef", {})
                if of.get("namespace") == namespace and of.get("resource") == "pods" and event["verb"] == verb:
                    said = event.get("annotations", {})
            return {k.partition("/")[2]: v for k, v in said.items() if k.startswith(f"{webhook}.vmguard.io/")}

        return wait_for(found, "audit annotations")


@contextmanager
def registered(
    plane: ControlPlane, label: str, base: str, ca: bytes, failure_policy: str | None = None
) -> Iterator[None]:
    """Both configurations, for namespaces with the label; gone afterwards."""
    made = []
    for configuration in configurations(Url(base), ca):
        configuration["metadata"]["name"] = f"m-{label}"
        for webhook in configuration["webhooks"]:
            selector = webhook.setdefault("namespaceSelector", {})
            selector["matchLabels"] = {LABEL: label}
            webhook["failurePolicy"] = failure_policy or webhook["failurePolicy"]
        made.append(plane.api.create(configuration))
    wait_until_called(plane, label)
    try:
        yield
    finally:
        for configuration in made:
            plane.api.delete(configuration["apiVersion"], configuration["kind"], configuration["metadata"]["name"])


def wait_until_called(plane: ControlPlane, label: str) -> None:
    """Until the API server has learnt of a new configuration; it takes a moment."""
    namespace = plane.namespace(f"{label}-{next(_COUNT)}", {LABEL: label})
    labels = {"managed-by": "vm-operator"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "labels": labels}}
    pod["spec"] = {"containers": [{"name": "probe", "image": "probe"}]}

    def called() -> bool:
        try:
            plane.api.create(pod, namespace, dryRun="All")
        except Exception as error:  # noqa: BLE001 - a webhook that is down is called too
            return "webhook" in str(error)
        return any("[workload]" in warning for warning in plane.api.warnings)

    try:
        wait_for(called, f"the webhook for {label} to be called", 15)
    except TimeoutError:
        if "down" not in label:  # with failurePolicy Ignore nothing tells that it was tried
            raise


@pytest.fixture(scope="session")
def guard(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Guard]]:
    """`guard(**environment)`: a vmguard with these settings, started once a run and registered."""
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
                stack.enter_context(registered(plane, label, server.url, ca))
                kept[key] = Guard(plane, server, label)
            return kept[key]

        yield started
