"""Kubeconfig files that lead somewhere else than straight to a control plane's API server."""

import json
from pathlib import Path

import yaml

from tests.controlplane.plane import ControlPlane


def kubeconfig_to(url: str, path: Path) -> Path:
    """Write a kubeconfig without credentials for the API server at a URL."""
    named = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "x", **named}))
    return path


def kubeconfig_through(plane: ControlPlane, port: int, path: Path) -> Path:
    """Write the administrator's kubeconfig with a port of this machine in the place of the API server's."""
    config = yaml.safe_load(plane.kubeconfig().read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    path.write_text(json.dumps(config))
    return path
