"""Stand-in definitions of the operator's resources, for clusters without the operator: tests and trials.

They say what there is and nothing about what may stand in it: spec and status take any field, and status is no
subresource, so that whoever plays the operator may write it. They never replace the operator's own definitions.
"""

from typing import Any

from webhook.policy.resources import GROUP, RESOURCES, Resource

_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(resource: Resource) -> dict[str, Any]:
    """The CustomResourceDefinition (apiextensions.k8s.io/v1) of one resource."""
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
                            "properties": {"spec": _ANYTHING, "status": _ANYTHING},
                        }
                    },
                }
            ],
        },
    }


def definitions() -> tuple[dict[str, Any], ...]:
    """The definitions of every resource of the group."""
    return tuple(definition(resource) for resource in RESOURCES)
