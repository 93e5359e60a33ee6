"""The kustomize files of `deploy/`: a base that has no namespace, and overlays that give it one."""

from collections.abc import Callable, Mapping
from typing import Any

from webhook.manifests.installation import CONTAINER
from webhook.manifests.roles import InstallationNames, roles
from webhook.manifests.webhooks import BY_NAME, Service, staged

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


def openshift() -> dict[str, Any]:
    """The kustomization of the overlay for OpenShift, which assigns users and groups to pods."""
    return {
        **_HEAD,
        "resources": ["../default"],
        "patches": [{"path": file} for file in OPENSHIFT],
    }


def _assigned() -> dict[str, Any]:
    """No number that a SecurityContextConstraints would refuse, neither in vmguard's pods nor in those it fills."""
    names = InstallationNames()
    container = {"name": CONTAINER, "env": [{"name": "VMGUARD_RUN_AS", "value": "platform"}]}
    pod = {"securityContext": {"runAsUser": None, "runAsGroup": None}, "containers": [container]}
    return {**_head("apps/v1", "Deployment", names.account), "spec": {"template": {"spec": pod}}}


OPENSHIFT: Mapping[str, Callable[[], dict[str, Any]]] = {"users-of-platform.yaml": _assigned}
"""The patches of the overlay, by file."""


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
    """What narrows the selectors of the mutating (0) or the validating (1) configuration to the namespace.

    Labels are added to those expressions that the base or a component has.
    """
    configuration = staged(Service(namespace=""), trial=True)[which]
    selector = {"matchLabels": {BY_NAME: WATCHED}}
    entries = [{"name": each["name"], "namespaceSelector": selector} for each in configuration["webhooks"]]
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


def _head(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
