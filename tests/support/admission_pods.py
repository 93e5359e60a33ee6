"""Pods that tests create in a control plane, the workloads that make them, and what becomes of them at admission."""

from typing import Any

from tests.controlplane.api import wait_for
from tests.controlplane.plane import ControlPlane
from tests.controlplane.stand_in_operator import recreate
from tests.support.golden import ROOT, Case
from tests.support.sample_pods import LABELS

STRICT_SECURITY = {"VM_ENABLESTRICTSECURITY": "true"}
"""The setting of a vmguard that makes every pod strict."""

VMSINGLE = Case(ROOT / "strict--v0.53.0-to-v0.54.0-strict--vmsingle-relabel--vmsingle-t")
"""A recorded VMSingle with a Deployment, made without security settings."""


def bare_pod(name: str = "p", owner: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod with the operator's labels and without security settings; `owner` becomes its controller."""
    metadata: dict[str, Any] = {"name": name, "labels": dict(LABELS)}
    if owner:
        metadata["ownerReferences"] = [{**owner, "controller": True}]
    containers = [{"name": "vmsingle", "image": "victoriametrics/victoria-metrics"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def weak_pod(plane: ControlPlane, namespace: str, *, privileged: bool = True) -> dict[str, Any]:
    """A pod of a VMSingle of the namespace, which is made, with a container that is weaker than strict.

    Without `privileged` the container has no security context, and vmguard can fill all of it.
    """
    if not plane.api.list("apps/v1", "ReplicaSet", namespace):
        recreate(VMSINGLE, plane.api, namespace)
    (replicas,) = wait_for(lambda: plane.api.list("apps/v1", "ReplicaSet", namespace), "the ReplicaSet")
    names = {name: replicas["metadata"][name] for name in ("name", "uid")}
    pod = bare_pod("weak", {"apiVersion": "apps/v1", "kind": "ReplicaSet", **names})
    if privileged:
        pod["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return pod


def failed_create(plane: ControlPlane, namespace: str, containing: str) -> str:
    """The message of the first FailedCreate event in a namespace that contains a text, once there is one."""

    def message() -> str | None:
        events = plane.api.list("v1", "Event", namespace)
        failed = (event["message"] for event in events if event["reason"] == "FailedCreate")
        return next((text for text in failed if containing in text), None)

    return wait_for(message, f"a FailedCreate event with {containing!r}")


def successors(plane: ControlPlane, namespace: str, name: str) -> list[dict[str, Any]]:
    """The pods of a namespace except the one of that name."""
    return [pod for pod in plane.api.list("v1", "Pod", namespace) if pod["metadata"]["name"] != name]


def scale(plane: ControlPlane, namespace: str, deployment: str, replicas: int) -> list[dict[str, Any]]:
    """Scale a Deployment and wait until its namespace has exactly so many pods; these pods."""
    plane.api.patch("apps/v1", "Deployment", deployment, {"spec": {"replicas": replicas}}, namespace)

    def settled() -> tuple[list[dict[str, Any]]] | None:
        pods = [pod for pod in plane.api.list("v1", "Pod", namespace) if "deletionTimestamp" not in pod["metadata"]]
        return (pods,) if len(pods) == replicas else None

    return wait_for(settled, f"{replicas} pods", interval=0.5)[0]
