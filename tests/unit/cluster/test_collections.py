"""The path of a request to the API server gives its verb and resource."""

import pytest

from webhook.cluster.collections import LEASES, NAMESPACES, PODS, PSP, asked, custom


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/version", ("get", "")),
        ("/apis/operator.victoriametrics.com", ("get", "")),
        ("/apis/operator.victoriametrics.com/v1beta1", ("get", "")),
        (PSP.root, ("get", "")),
        (PODS.path(), ("list", "pods")),
        (f"{PODS.path('leases')}?limit=500&fieldSelector=a/b", ("list", "pods")),
        (PODS.path("mon", "namespaces"), ("get", "pods")),
        (NAMESPACES.path(), ("list", "namespaces")),
        (NAMESPACES.path(name="mon"), ("get", "namespaces")),
        (PSP.path(name="p"), ("get", "podsecuritypolicies")),
        (LEASES.path("mon", "vmguard"), ("get", "leases")),
        (custom("VMSingle", "v1beta1").path("mon"), ("list", "vmsingles")),
    ],
)
def test_verb_and_resource_are_read_from_a_path(path, told):
    assert asked(path) == told
