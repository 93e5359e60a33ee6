"""Stand-in definitions of resources of cert-manager and of the Prometheus operator, for clusters without them.

Each is closed: it has the fields that vmguard's manifests may use, by the documentation of these projects, and the API
server refuses any other field.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.controlplane.api import wait_for
from tests.controlplane.plane import ControlPlane

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_YES: Schema = {"type": "boolean"}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_RULE = _object(("expr",), alert=_TEXT, expr=_TEXT, labels=_LABELS, annotations=_LABELS, **{"for": _TEXT})
_ENDPOINT = _object(port=_TEXT, path=_TEXT, interval=_TEXT, scheme=_TEXT, honorLabels=_YES)
_ISSUER = _object(("name",), group=_TEXT, kind=_TEXT, name=_TEXT)

_CERTIFICATE = _object(
    ("secretName", "issuerRef"),
    isCA=_YES,
    commonName=_TEXT,
    dnsNames=_list(_TEXT),
    secretName=_TEXT,
    duration=_TEXT,
    renewBefore=_TEXT,
    usages=_list(_TEXT),
    privateKey=_object(
        algorithm={**_TEXT, "enum": ["RSA", "ECDSA", "Ed25519"]},
        size={"type": "integer"},
        rotationPolicy={**_TEXT, "enum": ["Never", "Always"]},
    ),
    issuerRef=_ISSUER,
)

_KINDS: tuple[tuple[str, str, str, Schema], ...] = (
    (
        "cert-manager.io",
        "Issuer",
        "issuers",
        _object(selfSigned=_object(), ca=_object(("secretName",), secretName=_TEXT)),
    ),
    ("cert-manager.io", "Certificate", "certificates", _CERTIFICATE),
    (
        "monitoring.coreos.com",
        "ServiceMonitor",
        "servicemonitors",
        _object(("endpoints", "selector"), selector=_object(matchLabels=_LABELS), endpoints=_list(_ENDPOINT)),
    ),
    (
        "monitoring.coreos.com",
        "PrometheusRule",
        "prometheusrules",
        _object(groups=_list(_object(("name",), name=_TEXT, interval=_TEXT, rules=_list(_RULE)))),
    ),
)


def foreign_definitions() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions."""
    return [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{plural}.{group}",
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
            },
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": _object(spec=spec)},
                    }
                ],
            },
        }
        for group, kind, plural, spec in _KINDS
    ]


@contextmanager
def foreign_kinds(plane: ControlPlane) -> Iterator[None]:
    """A control plane serves the resources, and kubectl knows their fields, until the block ends."""
    for each in foreign_definitions():
        plane.api.create(each)
    for group, kind, _, _ in _KINDS:
        wait_for(lambda group=group, kind=kind: plane.api.serves(f"{group}/v1", kind), "the definitions to be served")
    wait_for(lambda: _published(plane), "OpenAPI to have the definitions", interval=1)
    try:
        yield
    finally:
        for each in foreign_definitions():
            plane.api.delete_if_there(each["apiVersion"], each["kind"], each["metadata"]["name"])


def _published(plane: ControlPlane) -> bool:
    """Whether kubectl can know the fields of the kinds: the API server publishes them after it serves them."""
    answer = plane.api.request("GET", "/openapi/v2")
    text = answer if isinstance(answer, str) else json.dumps(answer)  # that of 1.24 has a content type of its own
    return all(re.search(rf'"kind": ?"{kind}"', text) for _, kind, _, _ in _KINDS)
