"""The mutating and the validating webhook configuration (admissionregistration.k8s.io/v1).

The object selector only pre-filters pods by label. The chain of owners decides which resource owns a pod. Every
webhook has a name of its own: the API server stores audit annotations under that name and drops duplicates.
"""

import base64
from typing import Any, Literal

import msgspec

from webhook.policy import components
from webhook.policy.custom_resources import GROUP, RESOURCES
from webhook.policy.workload import MANAGED_BY

NAME = "vmguard"
"""The name of both configurations."""

Path = Literal["/mutate", "/validate"]


class Service(msgspec.Struct, frozen=True):
    """vmguard runs in the cluster, behind this Service."""

    namespace: str = "vmguard-system"
    name: str = "vmguard"
    port: int = 443


class Url(msgspec.Struct, frozen=True):
    """vmguard runs outside the cluster; `base` is `https://HOST:PORT` without a path."""

    base: str


Target = Service | Url
"""The address at which the API server calls vmguard."""


def configurations(target: Target, ca: bytes = b"") -> tuple[dict[str, Any], dict[str, Any]]:
    """The mutating and the validating configuration.

    `ca` is the CA certificate (PEM) that signs the serving certificate. Without it the objects have no `caBundle` key:
    an empty `caBundle` would remove the bundle of an installed configuration, or conflict with it under server-side
    apply (seen with Kubernetes 1.37).
    """
    pods_created = _rule(["CREATE"], "", ["v1"], ["pods"])
    containers_added = _rule(["UPDATE"], "", ["v1"], ["pods/ephemeralcontainers"])
    resources_applied = _rule(["CREATE", "UPDATE"], GROUP, ["*"], _resources())
    return (
        _configuration(
            "Mutating",
            {
                **_webhook("pods", target, "/mutate", ca),
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                **_selectors(target),
                "rules": [pods_created],
            },
        ),
        _configuration(
            "Validating",
            {
                **_webhook("admitted-pods", target, "/validate", ca),
                "failurePolicy": "Ignore",
                **_selectors(target),
                "rules": [pods_created, containers_added],
            },
            {**_webhook("resources", target, "/validate", ca), "failurePolicy": "Ignore", "rules": [resources_applied]},
        ),
    )


def _configuration(kind: str, *webhooks: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": list(webhooks),
    }


def _webhook(name: str, target: Target, path: Path, ca: bytes) -> dict[str, Any]:
    bundle = {"caBundle": base64.b64encode(ca).decode()} if ca else {}
    return {
        "name": f"{name}.vmguard.io",
        "admissionReviewVersions": ["v1", "v1beta1"],
        "clientConfig": {**_client(target, path), **bundle},
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": 10,
    }


def _client(target: Target, path: Path) -> dict[str, Any]:
    if isinstance(target, Url):
        return {"url": f"{target.base}{path}"}
    return {"service": {"namespace": target.namespace, "name": target.name, "path": path, "port": target.port}}


def _selectors(target: Target) -> dict[str, Any]:
    """Excludes vmguard's own namespace: with no replica running, the webhook would block its own pods."""
    own = [target.namespace] if isinstance(target, Service) else []
    excluded = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", *own]}
    label, value = MANAGED_BY
    return {
        "namespaceSelector": {"matchExpressions": [excluded]},
        "objectSelector": {"matchLabels": {label: value}},
    }


def _rule(operations: list[str], group: str, versions: list[str], resources: list[str]) -> dict[str, Any]:
    return {
        "operations": operations,
        "apiGroups": [group],
        "apiVersions": versions,
        "resources": resources,
        "scope": "Namespaced",
    }


def _resources() -> list[str]:
    """The plurals of the kinds that produce pods, and of their parent kinds."""
    kinds = {*components.BY_KIND, *components.PARENTS}
    return [resource.plural for resource in RESOURCES if resource.kind in kinds]
