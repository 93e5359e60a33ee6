"""The kustomize files of `deploy/`: a base that has no namespace, overlays that give it one, and components."""

from collections.abc import Callable, Mapping
from typing import Any

from webhook.manifests.installation import CONTAINER, MODE
from webhook.manifests.roles import InstallationNames
from webhook.manifests.webhooks import TRIAL, Service, staged

_HEAD = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


def base() -> dict[str, Any]:
    """The kustomization of the base."""
    return {
        **_HEAD,
        "resources": ["vmguard.yaml", "roles.yaml", "webhooks.yaml"],
    }


def default() -> dict[str, Any]:
    """The kustomization of the overlay that brings its namespace."""
    return {
        **_HEAD,
        "namespace": InstallationNames().namespace,
        "resources": ["namespace.yaml", "../../base"],
    }


def enforce() -> dict[str, Any]:
    """The component that enforces: mode and failurePolicy are as where vmguard is no trial."""
    return {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "patches": [{"path": file} for file in ENFORCING],
    }


def _mode() -> dict[str, Any]:
    names = InstallationNames()
    container = {"name": CONTAINER, "env": [{"name": MODE, "value": "enforce"}]}
    return {
        **_head("apps/v1", "Deployment", names.account),
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def _entries(which: int) -> dict[str, Any]:
    """What is other than in a trial, for the mutating (0) or the validating (1) configuration."""
    configuration = staged(Service(namespace=""), trial=False)[which]
    entries = [{"name": each["name"], **{field: each[field] for field in TRIAL}} for each in configuration["webhooks"]]
    head = _head(configuration["apiVersion"], configuration["kind"], InstallationNames().configuration)
    return {**head, "webhooks": entries}


ENFORCING: Mapping[str, Callable[[], dict[str, Any]]] = {
    "mode.yaml": _mode,
    "mutating.yaml": lambda: _entries(0),
    "validating.yaml": lambda: _entries(1),
}
"""The patches of the component, by file. They merge by the names of container, variable and entry, so they fit an
overlay that has added others."""


def fenced() -> dict[str, Any]:
    """The component of the fence, for the default names."""
    return {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "resources": ["fence.yaml"]}


def _head(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
