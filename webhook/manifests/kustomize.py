"""The kustomize files of `deploy/`: a base that has no namespace, overlays that give it one, and components."""

import json
from typing import Any

from webhook.manifests.installation import MODE, deployment
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
    names = InstallationNames()
    container = deployment(names)["spec"]["template"]["spec"]["containers"][0]
    index = [each["name"] for each in container["env"]].index(MODE)
    mode = {"op": "replace", "path": f"/spec/template/spec/containers/0/env/{index}/value", "value": "enforce"}
    patches = [_patch("Deployment", names.account, [mode])]
    service = Service(namespace="")
    for before, after in zip(staged(service, trial=True), staged(service, trial=False), strict=True):
        changes = [
            {"op": "replace", "path": f"/webhooks/{number}/{field}", "value": entry[field]}
            for number, (tried, entry) in enumerate(zip(before["webhooks"], after["webhooks"], strict=True))
            for field in TRIAL
            if entry[field] != tried[field]
        ]
        patches.append(_patch(after["kind"], names.configuration, changes))
    return {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": patches}


def _patch(kind: str, name: str, changes: list[dict[str, Any]]) -> dict[str, Any]:
    """A JSON Patch of one object."""
    return {"target": {"kind": kind, "name": name}, "patch": json.dumps(changes)}
