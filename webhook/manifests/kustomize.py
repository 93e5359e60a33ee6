"""The kustomize files of `deploy/`: a base that has no namespace, and the overlays that give it one."""

from typing import Any

from webhook.manifests.roles import Names

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
        "namespace": Names().namespace,
        "resources": ["namespace.yaml", "../../base"],
    }
