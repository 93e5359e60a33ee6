"""The volume and mount that give a container a token for the Kubernetes API, and why other volumes do not. Pure.

Source: operators v0.54 and v0.74; the path and the name prefix are those of the ServiceAccount admission plugin.
"""

import posixpath
from typing import Any

from webhook.objects import ProjectedSource, Volume
from webhook.text import one_line

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
"""Where clients of the Kubernetes API look for their token."""

_TOKEN_PATHS = frozenset({TOKEN_PATH, TOKEN_PATH.removeprefix("/var")})
"""In images `/var/run` leads to `/run`."""

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

PLUGIN_PREFIX = f"{VOLUME}-"
"""The ServiceAccount admission plugin uses any volume with this prefix, with any content and from any author.

It mounts that volume at TOKEN_PATH in every container that mounts nothing there, and adds no volume of its own.
"""

_TOKEN_FILE, _CA_FILE = "token", "ca.crt"
_API_AUDIENCE = "https://kubernetes.default.svc"
_LONGEST = 80


def is_token_path(path: str) -> bool:
    """Whether a mount at a path replaces the token, in any spelling of the path."""
    if path == TOKEN_PATH or "serviceaccount" not in path:
        return path == TOKEN_PATH
    return posixpath.normpath(f"/{path.lstrip('/')}") in _TOKEN_PATHS


def unusable(volume: Volume) -> str:
    """Why a client of the Kubernetes API cannot rely on a volume at TOKEN_PATH, "" if it can."""
    if volume.secret is not None:
        return "is a Secret, and vmguard does not read what it holds"
    fault = token_fault(volume)
    if fault:
        return fault
    return "" if any(map(_brings_certificate, _sources(volume))) else f"holds no {_CA_FILE}"


def token_fault(volume: Volume) -> str:
    """Why the API server, or a client of it, takes no token of a projected volume, "" if it takes one."""
    tokens = [each.service_account_token for each in _sources(volume) if each.service_account_token is not None]
    reasons = [_unusable_token(token) for token in tokens]
    if not reasons:
        return "holds no token"
    return reasons[0] if all(reasons) else ""


def _sources(volume: Volume) -> list[ProjectedSource]:
    return (volume.projected.sources or []) if volume.projected else []


def _unusable_token(token: dict[str, Any]) -> str:
    audience, path = token.get("audience"), token.get("path")
    if audience and not str(audience).startswith(_API_AUDIENCE):
        return f"holds a token for audience {one_line(repr(audience), _LONGEST)}, which the API server answers with 401"
    if path != _TOKEN_FILE:
        return f"holds its token in the file {one_line(repr(path), _LONGEST)}, and clients read {_TOKEN_FILE!r}"
    return ""


def _brings_certificate(source: ProjectedSource) -> bool:
    """Whether the source may have the certificate with which clients verify the API server."""
    if source.cluster_trust_bundle is not None:
        return source.cluster_trust_bundle.get("path") == _CA_FILE
    holder = source.config_map if source.config_map is not None else source.secret
    if holder is None:
        return False
    items = holder.get("items")
    if not isinstance(items, list) or not items:
        return True
    return any(isinstance(item, dict) and item.get("path") == _CA_FILE for item in items)
