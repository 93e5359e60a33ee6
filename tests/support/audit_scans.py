"""Audit scans of a few namespaces, taken one by one, and the workloads that they find."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.controlplane.api import wait_for
from tests.controlplane.plane import ControlPlane
from tests.support.admission_pods import STRICT_SECURITY, bare_pod
from tests.support.resource_manifests import custom_resource
from tests.support.sample_pods import LABELS, owned_by
from webhook.cluster.cached import CachedFacts
from webhook.cluster.client import connected
from webhook.cluster.discovery import Discovery
from webhook.cluster.live import LiveFacts
from webhook.cluster.watching import Watching
from webhook.leader.audit_scan import AuditScan
from webhook.settings import Settings
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics


class AuditScans:
    """The audit scans of some namespaces, with the log lines and metrics that they wrote."""

    def __init__(self, kubeconfig: Path, *namespaces: str, **settings: str) -> None:
        environment = {"WATCH_NAMESPACE": ",".join(namespaces), **STRICT_SECURITY, **settings}
        self._kubeconfig = kubeconfig
        self._settings = Settings.from_environment(environment)
        self._stream = BytesIO()
        self.metrics = Metrics()

    def results(self, *changes: Callable[[], Any]) -> list[Any]:
        """The result of a scan now, and of one after each change of the cluster."""
        return asyncio.run(self._results(changes))

    async def _results(self, changes: tuple[Callable[[], Any], ...]) -> list[Any]:
        async with self.taking() as scan:
            results = []
            for change in (lambda: None, *changes):
                await asyncio.to_thread(change)
                results.append(await scan.take())
                scan._tell(results[-1])
            return results

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[AuditScan]:
        """A scan that can be taken: every collection is watched and has been listed."""
        log = Log("info", self._stream)
        async with connected(str(self._kubeconfig)) as client:
            discovery = Discovery(client, log)
            watching = Watching(client, discovery, self._settings.watch_namespaces, log, self.metrics)
            source = CachedFacts(watching, discovery, LiveFacts(client, discovery))
            scan = AuditScan(client, source, watching.knows, self._settings, log, self.metrics)
            task = asyncio.create_task(watching.run())
            try:
                await watching.synced()
                yield scan
            finally:
                task.cancel()
                await asyncio.wait([task])

    def lines(self, message: str = "survey") -> list[dict[str, Any]]:
        """The log lines with this message."""
        lines = map(json.loads, self._stream.getvalue().splitlines())
        return [line for line in lines if line["message"] == message]

    def gauge(self, namespace: str) -> float | None:
        """The number of noncompliant pods of VMSingles in a namespace, as measured."""
        labels = {"namespace": namespace, "kind": "VMSingle"}
        return self.metrics.registry.get_sample_value("vmguard_noncompliant_pods", labels)


def stateful_pod(plane: ControlPlane, namespace: str, labels: dict[str, str]) -> dict[str, Any]:
    """The pod of a new VMSingle and its StatefulSet, with these labels besides the one that the selector names."""
    owner = owned_by(plane.api.create(custom_resource("s"), namespace))
    meta = {"name": "vmsingle-s", "labels": dict(LABELS), "ownerReferences": owner}
    template = bare_pod()
    template["metadata"] = {"labels": {"app": "s", **labels}}
    spec = {"serviceName": "s", "selector": {"matchLabels": {"app": "s"}}, "template": template}
    plane.api.create({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}, namespace)
    return wait_for(lambda: plane.api.find("v1", "Pod", "vmsingle-s-0", namespace), "the pod")
