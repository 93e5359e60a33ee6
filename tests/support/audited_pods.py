"""Running pods of a resource as objects of a file, and the audit of such objects."""

import asyncio
from typing import Any

from tests.support.sample_pods import owned_by, workload
from webhook.audit.audits import audit_saved
from webhook.audit.collect import AuditScope
from webhook.audit.report import AuditedWorkload
from webhook.audit.saved import SavedObjects
from webhook.facts import Ref
from webhook.policy.preview import PodsOfResource
from webhook.settings import Settings


def pods_of(thing: dict[str, Any]) -> list[dict[str, Any]]:
    """A running pod of each component of a resource, as the operator makes it without vmguard, and its controller."""
    name = thing["metadata"]["name"]
    ref = Ref("operator.victoriametrics.com", "", thing["kind"], "mon", name)
    objects = []
    for each in PodsOfResource(ref, thing["spec"]).predicted(Settings()):
        kind, of = each.workload.workload, f"{each.workload.component.name}-{name}"
        controller = workload(kind, of, thing)
        objects.append(controller)
        if kind == "Deployment":
            controller = workload("ReplicaSet", f"{of}-1", controller)
            objects.append(controller)
        labels = {"managed-by": "vm-operator", "app.kubernetes.io/name": each.workload.component.label}
        metadata = {**each.pod["metadata"], "name": f"{of}-0", "namespace": "mon", "labels": labels, "uid": of}
        owner = {"ownerReferences": owned_by(controller)}
        objects.append({**each.pod, "metadata": {**metadata, **owner}})
    return objects


def audited(*things: dict[str, Any], settings: Settings | None = None) -> list[AuditedWorkload]:
    pods = [each for each in things if each["kind"] == "Pod"]
    saved = SavedObjects(pods, [each for each in things if each["kind"] != "Pod"], None)
    return asyncio.run(audit_saved(saved, "file", 37, AuditScope(()), settings or Settings())).workloads
