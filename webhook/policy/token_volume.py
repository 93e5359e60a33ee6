"""The volume and mount that give a container a token for the Kubernetes API, as the operator makes them.

Source: operators v0.54 and v0.74; the path and the name prefix are those of the ServiceAccount admission plugin.
"""

from typing import Any

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
"""Where clients of the Kubernetes API look for their token."""

VOLUME = "kube-api-access"
"""The operator's name of the volume; the admission plugin adds a hyphen and five characters to it."""

_NAMESPACE = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
TOKEN_VOLUME: dict[str, Any] = {
    "name": VOLUME,
    "projected": {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3600, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt"}},
            {"downwardAPI": {"items": [{"fieldRef": _NAMESPACE, "path": "namespace"}]}},
        ],
    },
}
TOKEN_MOUNT: dict[str, Any] = {"name": VOLUME, "mountPath": TOKEN_PATH, "readOnly": True}
