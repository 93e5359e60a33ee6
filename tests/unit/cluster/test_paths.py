"""A request to the API server is about the one object that it names; no name leads it to another path."""

import asyncio

import pytest

from tests.support.kubeconfigs import kubeconfig_to
from tests.support.patience import PATIENCE
from tests.support.stored_objects import stored_objects
from webhook.cluster.client import connected
from webhook.cluster.collections import BINDINGS, PSP, ROLES, WORKLOADS, InvalidNameError, custom
from webhook.cluster.discovery import Discovery
from webhook.cluster.live import LiveFacts
from webhook.facts import Absent, Ref, Unknown
from webhook.policy.custom_resources import GROUP
from webhook.telemetry.log import Log

SINGLES = custom("VMSingle", "v1beta1")

ODD = [".", "..", "../x", "x/..", "%2e%2e", "a b", "A", "-a", "a-", "a..b", ".a", "a.", "a\n", "ä", "x" * 254]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("collection", [SINGLES, PSP, WORKLOADS[0]], ids=str)
def test_a_path_is_not_built_from_what_is_no_name(collection, name):
    """The two segments `.` and `..` have no escaped form, so an HTTP client goes up the path by them."""
    with pytest.raises(InvalidNameError, match="is no name of"):
        collection.path("mon" if collection.namespaced else "", name)


@pytest.mark.parametrize("namespace", [*ODD, "a.b", "x" * 64])
@pytest.mark.parametrize("name", ["", "db"])
def test_a_path_is_not_built_from_what_is_no_namespace(namespace, name):
    with pytest.raises(InvalidNameError, match="is no name of a namespace"):
        SINGLES.path(namespace, name)


@pytest.mark.parametrize("name", [".", "..", "../x", "a%2fb", "x" * 254])
def test_a_role_has_any_name_that_is_one_segment_of_a_path(name):
    """RBAC allows other characters than DNS does: `vmguard:vmsingle-db` is a name."""
    assert ROLES.path("mon", "vmguard:vmsingle-db").endswith("/namespaces/mon/roles/vmguard%3Avmsingle-db")
    for collection in (ROLES, BINDINGS):
        with pytest.raises(InvalidNameError):
            collection.path("mon", name)


@pytest.mark.parametrize("odd", ["..", "../../..", ".", "A", "x" * 64])
def test_a_lookup_in_a_namespace_that_cannot_exist_sends_no_request(odd, tmp_path):
    """The namespace `..` would make a request about all namespaces of a request about one."""

    async def looked_up():
        async with stored_objects() as stored, connected(str(kubeconfig_to(stored.url, tmp_path / "config"))) as client:
            live = LiveFacts(client, Discovery(client, Log("error")))
            deadline = asyncio.get_running_loop().time() + PATIENCE
            refs = [Ref(GROUP, "v1beta1", "VMSingle", odd, "db"), Ref("apps", "v1", "ReplicaSet", odd, "db")]
            facts = [await live.get(ref, deadline) for ref in refs]
            names = [await live.names(ref, deadline) for ref in refs]
            return facts, names, stored.requests

    facts, names, requests = asyncio.run(looked_up())
    assert all(type(fact) is Unknown and "is no name of a namespace" in fact.reason for fact in facts)
    assert names == [(), ()]
    assert requests == []


@pytest.mark.parametrize("name", [".", "..", "../../roles"])
def test_a_lookup_by_an_invalid_name_reads_its_own_collection_only(name, tmp_path):
    """Whether the API is served is known by a list; no object has such a name."""

    async def looked_up():
        async with stored_objects() as stored, connected(str(kubeconfig_to(stored.url, tmp_path / "config"))) as client:
            live = LiveFacts(client, Discovery(client, Log("error")))
            deadline = asyncio.get_running_loop().time() + PATIENCE
            return await live.get(Ref(GROUP, "v1beta1", "VMSingle", "mon", name), deadline), stored.requests

    fact, requests = asyncio.run(looked_up())
    assert type(fact) is Absent
    assert requests == [f"GET {SINGLES.path('mon')}"]
