"""The stand-in definitions contain every resource of the operator."""

import json

import pytest

from webhook.cluster.schemas import missing
from webhook.manifests.crds import closed, definition, definitions
from webhook.policy.components import BY_KIND
from webhook.policy.custom_resources import BY_KIND as BY_NAME
from webhook.policy.custom_resources import GROUP, RESOURCES


def test_every_resource_has_one_definition():
    names = [each["metadata"]["name"] for each in definitions()]
    assert names == [f"{resource.plural}.{GROUP}" for resource in RESOURCES]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_a_definition_is_structural_and_takes_any_field(resource):
    spec = definition(resource)["spec"]
    (version,) = spec["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    assert version["name"] == resource.storage
    assert "subresources" not in version
    assert schema["type"] == "object"
    assert schema["properties"].keys() == {"spec", "status"}
    assert all(part["x-kubernetes-preserve-unknown-fields"] for part in schema["properties"].values())
    assert spec["names"]["listKind"] == f"{resource.kind}List"


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_definition_says_whether_a_policy_can_be_named(kind):
    """An open definition takes any field; a closed one takes only its own."""
    resource = BY_NAME[kind]

    def where_not(thing):
        return missing(kind, resource.storage, json.dumps(thing).encode())

    places = list(dict.fromkeys(("spec", *(".".join(component.path) for component in BY_KIND[kind]))))
    assert where_not(definition(resource)) == []
    assert where_not(definition(resource, closed(kind, names_policies=True))) == []
    assert where_not(definition(resource, closed(kind, names_policies=False))) == places
    old = definition(resource, closed(kind, names_policies=False))
    old["spec"]["preserveUnknownFields"] = True
    assert where_not(old) == []
