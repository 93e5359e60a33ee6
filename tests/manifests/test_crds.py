"""The stand-in definitions follow from the table of resources."""

import pytest

from webhook.manifests.crds import definition, definitions
from webhook.policy.resources import GROUP, RESOURCES


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
