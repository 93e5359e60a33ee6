"""What a stolen token may try on a webhook configuration: a change for each field in the API server's OpenAPI.

A field without a row fails a test, so a field of a newer Kubernetes is tried too.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.controlplane.api import Object
from tests.controlplane.plane import ControlPlane

_ADMISSION = "io.k8s.api.admissionregistration.v1."
_TYPES = {
    "metadata": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
    "webhooks.clientConfig": f"{_ADMISSION}WebhookClientConfig",
    "webhooks.clientConfig.service": f"{_ADMISSION}ServiceReference",
}
"""The types of the fields that hold objects of their own, besides the webhooks."""

BUNDLE = "webhooks.clientConfig.caBundle"
"""The one field that vmguard may change."""

SERVER_OWNED = {
    "apiVersion", "kind", "metadata", "metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion",
    "metadata.creationTimestamp", "metadata.deletionTimestamp", "metadata.deletionGracePeriodSeconds",
    "metadata.generation", "metadata.managedFields",
}  # fmt: skip
"""The API server refuses or ignores another value of these from everybody, or changes them itself."""

_OTHER_CLIENT = {"url": "https://attacker.example/", "caBundle": "QQ=="}

VALUES: dict[str, Any] = {
    "apiVersion": "admissionregistration.k8s.io/v1alpha1",
    "kind": "ConfigMap",
    "metadata": {"name": "other", "labels": {"other": "value"}},
    "metadata.annotations": {"other": "value"},
    "metadata.creationTimestamp": "2001-01-01T00:00:00Z",
    "metadata.deletionGracePeriodSeconds": 1,
    "metadata.deletionTimestamp": "2001-01-01T00:00:00Z",
    "metadata.finalizers": ["other.example/finalizer"],
    "metadata.generateName": "other-",
    "metadata.generation": 99,
    "metadata.labels": {"other": "value"},
    "metadata.managedFields": [],
    "metadata.name": "other",
    "metadata.namespace": "default",
    "metadata.ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "other", "uid": "other"}],
    "metadata.resourceVersion": "1",
    "metadata.selfLink": "/other",
    "metadata.uid": "other",
    "webhooks": [],
    "webhooks.admissionReviewVersions": ["v1"],
    "webhooks.clientConfig": _OTHER_CLIENT,
    "webhooks.clientConfig.service": {"namespace": "default", "name": "other"},
    "webhooks.clientConfig.service.name": "other",
    "webhooks.clientConfig.service.namespace": "default",
    "webhooks.clientConfig.service.path": "/other",
    "webhooks.clientConfig.service.port": 444,
    "webhooks.clientConfig.url": _OTHER_CLIENT["url"],
    "webhooks.failurePolicy": "Ignore",
    "webhooks.matchConditions": [{"name": "other", "expression": "false"}],
    "webhooks.matchPolicy": "Exact",
    "webhooks.name": "other.vmguard.io",
    "webhooks.namespaceSelector": {},
    "webhooks.objectSelector": {},
    "webhooks.reinvocationPolicy": "Never",
    "webhooks.rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}],
    "webhooks.sideEffects": "None",
    "webhooks.timeoutSeconds": 1,
}
"""By the path of a field, another value than the manifests have; the field of the first webhook is changed."""


class Attempt(NamedTuple):
    """A JSON Patch of one field."""

    field: str
    patch: list[Object]


def attempts(stored: Object) -> Iterator[Attempt]:
    """Another value for each field of the table, and no value for each that is there."""
    for field, value in VALUES.items():
        if field == "webhooks.reinvocationPolicy" and stored["kind"].startswith("Validating"):
            continue
        path = "/" + field.replace(".", "/").replace("webhooks/", "webhooks/0/")
        also = []
        if field == "webhooks.clientConfig.url":  # the API server takes one of the two
            also = [{"op": "remove", "path": "/webhooks/0/clientConfig/service"}]
        yield Attempt(field, [*also, {"op": "add", "path": path, "value": value}])
        if _is_in(stored, path):
            yield Attempt(field, [{"op": "remove", "path": path}])


def _is_in(found: Any, path: str) -> bool:
    for part in path.split("/")[1:]:
        if isinstance(found, dict) and part not in found:
            return False
        found = found[int(part)] if isinstance(found, list) else found[part]
    return True


def fields(plane: ControlPlane, kind: str) -> set[str]:
    """The paths of all fields of a webhook configuration, as the API server describes them."""
    answer = plane.api.request("GET", "/openapi/v2")
    definitions = (json.loads(answer) if isinstance(answer, str) else answer)["definitions"]
    webhook = kind.removesuffix("Configuration")
    types = {"": f"{_ADMISSION}{kind}", "webhooks": f"{_ADMISSION}{webhook}", **_TYPES}
    return {
        f"{parent}.{name}".removeprefix(".")
        for parent, known in types.items()
        for name in definitions[known]["properties"]
    }


def gist(configuration: Object) -> Object:
    """A configuration without what the API server changes with every write."""
    changing = ("managedFields", "generation", "resourceVersion")
    metadata = {key: value for key, value in configuration["metadata"].items() if key not in changing}
    return {**configuration, "metadata": metadata}
