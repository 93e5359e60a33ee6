"""Stand-in definitions of the operator's resources, for clusters without the operator: tests and trials.

They have the names of the resources and no schema: spec and status take any field. Status is no subresource, so a
stand-in for the operator may write it. A closed definition, for tests, has only the fields that decisions read. So the
API server drops other fields, like with the operator's own definitions. It has the field that names a
PodSecurityPolicy, or does not have it, like those of newer operators. They never replace the operator's own
definitions.
"""

from collections.abc import Iterable
from typing import Any

from webhook.policy.components import BY_KIND
from webhook.policy.custom_resources import GROUP, RESOURCES, CustomResource
from webhook.policy.posture import PART_FIELDS, POLICY_FIELD, paths_in

_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def closed(kind: str, *, names_policies: bool) -> dict[str, Any]:
    """The schema of the spec of a kind that makes pods, which drops every field that it does not name."""
    spec = _part(PART_FIELDS, names_policies=names_policies)
    for component in BY_KIND[kind]:
        fields = [path[0] for path in paths_in(component)]
        inside = spec["properties"]
        for field in component.path[1:]:
            inside = inside.setdefault(field, _part(fields, names_policies=names_policies))["properties"]
        inside |= _part(fields, names_policies=names_policies)["properties"]
    return spec


def _part(fields: Iterable[str], *, names_policies: bool) -> dict[str, Any]:
    known: dict[str, Any] = {
        field: {"x-kubernetes-preserve-unknown-fields": True}
        for field in fields
        if field != POLICY_FIELD or names_policies
    }
    if POLICY_FIELD in known:
        known[POLICY_FIELD] = {"type": "string"}
    return {"type": "object", "properties": known}


def definition(resource: CustomResource, spec: dict[str, Any] = _ANYTHING) -> dict[str, Any]:
    """The CustomResourceDefinition (apiextensions.k8s.io/v1) of one resource; `spec` is the schema of its spec."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.singular,
            },
            "versions": [
                {
                    "name": resource.storage,
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": spec, "status": _ANYTHING},
                        }
                    },
                }
            ],
        },
    }


def definitions() -> tuple[dict[str, Any], ...]:
    """The definitions of every resource of the group."""
    return tuple(definition(resource) for resource in RESOURCES)
