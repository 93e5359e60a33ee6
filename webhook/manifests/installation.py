"""The objects that run vmguard in a cluster: ServiceAccount, Secret, Service, Deployment and PodDisruptionBudget.

The objects of the kustomize base have no namespace, because an overlay sets it. The Secret has no data: vmguard's
leader writes the CA into it, and an apply must not remove the CA. The pods reach the level `restricted` of Pod
Security.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from webhook.manifests.roles import InstallationNames

VERSION = "0.1.0"
"""The tag of the image; the same as the version of the package."""

REPLICAS = 2

CONTAINER = "vmguard"

MODE = "VMGUARD_MODE"
"""The variable that the component `enforce` changes. Shipped is `audit`, which changes and denies nothing."""

_SHUTDOWN_DELAY = 95
"""Seconds to serve on after the signal to end. An API server keeps an idle connection for 90 s. With a shorter delay it
can send a request on a connection that is just being closed, and refuse the pod (docs/availability.md)."""

_DRAIN = 15
"""Seconds for what is under way then, and a margin."""

_USER = 65534
_PORTS = {"webhook": 8443, "operations": 8080}
_NO_MESH = {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"}
"""A mesh would put its proxy between the API server and the webhook, and the API server has no part in a mesh."""


def labels(names: InstallationNames) -> dict[str, str]:
    """The labels of every object."""
    return {
        "app.kubernetes.io/name": "vmguard",
        "app.kubernetes.io/instance": names.service,
        "app.kubernetes.io/version": VERSION,
        "app.kubernetes.io/component": "webhook",
        "app.kubernetes.io/part-of": "vmguard",
        "app.kubernetes.io/managed-by": "kustomize",
    }


def labelled(names: InstallationNames, objects: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Objects of an installation, also with its labels, by which an uninstall or a prune finds them."""
    for each in objects:
        metadata = each["metadata"]
        yield {**each, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **labels(names)}}}


def selector(names: InstallationNames) -> dict[str, str]:
    """The labels by which Service, Deployment and budget find the pods; they must never change."""
    return {key: labels(names)[key] for key in ("app.kubernetes.io/name", "app.kubernetes.io/instance")}


def account(names: InstallationNames) -> dict[str, Any]:
    """The ServiceAccount; only the pods of vmguard mount its token."""
    return {**_head(names, "v1", "ServiceAccount", names.account), "automountServiceAccountToken": False}


def secret(names: InstallationNames) -> dict[str, Any]:
    """The Secret of the CA, without data."""
    return {**_head(names, "v1", "Secret", f"{names.service}-ca"), "type": "Opaque"}


def service(names: InstallationNames) -> dict[str, Any]:
    """The Service that the API server calls, and that metrics are read from."""
    ports = [
        {"name": "webhook", "port": 443, "targetPort": "webhook"},
        {"name": "operations", "port": 8080, "targetPort": "operations"},
    ]
    return {**_head(names, "v1", "Service", names.service), "spec": {"selector": selector(names), "ports": ports}}


def disruption_budget(names: InstallationNames) -> dict[str, Any]:
    """A drain of nodes takes one replica at a time; with `minAvailable` it would wait for ever for a single one."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": selector(names)}}
    return {**_head(names, "policy/v1", "PodDisruptionBudget", names.account), "spec": spec}


def deployment(names: InstallationNames) -> dict[str, Any]:
    """The replicas. A new one is ready before an old one ends."""
    template = {"metadata": {"labels": labels(names), "annotations": dict(_NO_MESH)}, "spec": _pod(names)}
    return {
        **_head(names, "apps/v1", "Deployment", names.account),
        "spec": {
            "replicas": REPLICAS,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": selector(names)},
            "template": template,
        },
    }


def _pod(names: InstallationNames) -> dict[str, Any]:
    return {
        "serviceAccountName": names.account,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "priorityClassName": "system-cluster-critical",
        "terminationGracePeriodSeconds": _SHUTDOWN_DELAY + _DRAIN,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(names)},
            }
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ],
        "containers": [_container(names)],
    }


def _container(names: InstallationNames) -> dict[str, Any]:
    """No CPU limit: a throttled webhook delays each VictoriaMetrics pod."""
    return {
        "name": CONTAINER,
        "image": f"vmguard:{VERSION}",
        "args": ["serve"],
        "env": [
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "VMGUARD_SERVICE", "value": names.service},
            {"name": "VMGUARD_WEBHOOK_CONFIGURATION", "value": names.configuration},
            {"name": "VMGUARD_LEASE", "value": names.lease},
            {"name": "VMGUARD_SHUTDOWN_DELAY", "value": str(_SHUTDOWN_DELAY)},
            {"name": MODE, "value": "audit"},
        ],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _PORTS.items()],
        "livenessProbe": _probe("/livez", periodSeconds=10, failureThreshold=6),
        "readinessProbe": _probe("/readyz", periodSeconds=2, failureThreshold=1),
        "startupProbe": _probe("/livez", periodSeconds=2, failureThreshold=60),
        "resources": {"requests": {"cpu": "100m", "memory": "160Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _probe(path: str, **times: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "operations"}, "timeoutSeconds": 2, **times}


def _head(names: InstallationNames, version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels(names)}}
