"""The kustomize files of `deploy/`: a base that has no namespace, overlays that give it one, and components."""

from collections.abc import Callable, Mapping
from typing import Any

from webhook.manifests.installation import CONTAINER, MODE
from webhook.manifests.roles import InstallationNames, roles
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


def namespaced() -> dict[str, Any]:
    """The kustomization of the overlay that watches one namespace: its own."""
    return {
        **_HEAD,
        "namespace": WATCHED,
        "resources": ["../../base", "roles.yaml"],
        "patches": [{"path": file} for file in NAMESPACED],
    }


def _without(kind: str) -> dict[str, Any]:
    """A patch that takes an object out of the base."""
    return {**_head("rbac.authorization.k8s.io/v1", kind, InstallationNames().configuration), "$patch": "delete"}


def _watching() -> dict[str, Any]:
    names = InstallationNames()
    container = {"name": CONTAINER, "env": [{"name": "WATCH_NAMESPACE", "value": WATCHED}]}
    return {
        **_head("apps/v1", "Deployment", names.account),
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def _narrowed(which: int) -> dict[str, Any]:
    """The selectors of the mutating (0) or the validating (1) configuration."""
    configuration = staged(Service(namespace=""), trial=True, watched=(WATCHED,))[which]
    entries = [
        {"name": each["name"], "namespaceSelector": each["namespaceSelector"]} for each in configuration["webhooks"]
    ]
    head = _head(configuration["apiVersion"], configuration["kind"], InstallationNames().configuration)
    return {**head, "webhooks": entries}


WATCHED = "monitoring"
"""The namespace of the overlay `namespaced`, which exists already."""

NAMESPACED: Mapping[str, Callable[[], dict[str, Any]]] = {
    "without-cluster-role.yaml": lambda: _without("ClusterRole"),
    "without-cluster-role-binding.yaml": lambda: _without("ClusterRoleBinding"),
    "watch-namespace.yaml": _watching,
    "mutating.yaml": lambda: _narrowed(0),
    "validating.yaml": lambda: _narrowed(1),
}
"""The patches of the overlay, by file; they merge by name."""


def watching_roles() -> list[dict[str, Any]]:
    """The Role in the watched namespace with its binding; those of vmguard's own objects are in the base."""
    made = roles(InstallationNames(namespace=""), (WATCHED,))
    return [{**each, "metadata": {"name": each["metadata"]["name"]}} for each in made[:2]]


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
