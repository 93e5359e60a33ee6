"""Whether the API server accepts manifests without changes: no unknown field, and pods at the level restricted."""

import copy
from collections.abc import Iterable
from typing import Any

import yaml

from tests.controlplane.plane import ControlPlane

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""The label of a namespace where Pod Security admission refuses every other pod."""


def refused(plane: ControlPlane, objects: Iterable[dict[str, Any]]) -> str:
    """What kubectl or the API server says against objects, which are sent as a dry run; "" for nothing.

    Kubernetes 1.24 leaves it to kubectl to find a field that it does not know.
    """
    text = yaml.safe_dump_all(objects)
    done = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    return done.stderr if done.returncode else ""


def replica_of(objects: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A pod of the Deployment without its ServiceAccount, which a dry run does not create."""
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    template = copy.deepcopy(deployment["spec"]["template"])
    template["spec"]["serviceAccountName"] = "default"
    template["metadata"]["name"] = "replica"
    return {"apiVersion": "v1", "kind": "Pod", **template}
