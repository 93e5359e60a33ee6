"""The two webhook configurations: what the API server asks vmguard about, where, and what happens without an answer.

Labels only pre-filter here; the owner chain decides whose pod it is. `deploy/webhook.yaml` says the same in words. No
two webhooks share a name: audit annotations stand under it, and the API server keeps the first of two.
"""

import base64
from typing import Any, Literal

import msgspec

from webhook.policy import components
from webhook.policy.custom_resources import GROUP, RESOURCES
from webhook.policy.workload import MANAGED_BY

NAME = "vmguard"
"""Of both configurations."""

Path = Literal["/mutate", "/validate"]


class Service(msgspec.Struct, frozen=True):
    """vmguard behind a Service of the cluster."""

    namespace: str = "vmguard-system"
    name: str = "vmguard"
    port: int = 443


class Url(msgspec.Struct, frozen=True):
    """vmguard outside the cluster; `base` is `https://HOST:PORT` without a path."""

    base: str


Where = Service | Url


def configurations(where: Where, ca: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mutating and the validating configuration (admissionregistration.k8s.io/v1).

    `ca` is the PEM of the authority that signs the serving certificate; empty leaves the API server to its own trust.
    """
    created = _rule(["CREATE"], "", ["v1"], ["pods"])
    debugged = _rule(["UPDATE"], "", ["v1"], ["pods/ephemeralcontainers"])
    validated = [_rule(["CREATE", "UPDATE"], GROUP, ["*"], _resources())]
    return (
        _configuration(
            "Mutating",
            {
                **_webhook("pods", where, "/mutate", ca),
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                **_selectors(where),
                "rules": [created],
            },
        ),
        _configuration(
            "Validating",
            {
                **_webhook("admitted-pods", where, "/validate", ca),
                "failurePolicy": "Ignore",
                **_selectors(where),
                "rules": [created, debugged],
            },
            {**_webhook("resources", where, "/validate", ca), "failurePolicy": "Ignore", "rules": validated},
        ),
    )


def _configuration(kind: str, *webhooks: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": list(webhooks),
    }


def _webhook(name: str, where: Where, path: Path, ca: bytes) -> dict[str, Any]:
    return {
        "name": f"{name}.vmguard.io",
        "admissionReviewVersions": ["v1", "v1beta1"],
        "clientConfig": {**_client(where, path), "caBundle": base64.b64encode(ca).decode()},
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": 10,
    }


def _client(where: Where, path: Path) -> dict[str, Any]:
    if isinstance(where, Url):
        return {"url": f"{where.base}{path}"}
    return {"service": {"namespace": where.namespace, "name": where.name, "path": path, "port": where.port}}


def _selectors(where: Where) -> dict[str, Any]:
    """Never its own namespace: without a replica no pod could be made there, and so no replica."""
    own = [where.namespace] if isinstance(where, Service) else []
    spared = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", *own]}
    label, value = MANAGED_BY
    return {
        "namespaceSelector": {"matchExpressions": [spared]},
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
    """Of the kinds that make pods, and of those that make such kinds."""
    kinds = {*components.BY_KIND, *components.PARENTS}
    return [resource.plural for resource in RESOURCES if resource.kind in kinds]
