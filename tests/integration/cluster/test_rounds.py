"""A round of the reconciler of default policies writes and removes only what it must."""

import asyncio
import itertools
import json
import tracemalloc
from collections import Counter
from contextlib import asynccontextmanager
from io import BytesIO

import pytest

from tests.controlplane.api import wait_for
from tests.controlplane.plane import control_plane
from tests.controlplane.versions import WITH_POLICIES
from tests.support.accounts import RBAC, RBAC_GROUP
from tests.support.patience import PATIENCE
from tests.support.resource_manifests import PSP, custom_resource, pod_security_policy
from webhook.cluster import client as client_module
from webhook.cluster.apply import apply, create
from webhook.cluster.client import UnreachableError, connected
from webhook.cluster.collections import ROLES
from webhook.cluster.discovery import Discovery
from webhook.cluster.refusal import RefusedError
from webhook.cluster.watching import Watching
from webhook.leader.psp_objects import LABEL, OURS
from webhook.leader.psp_reconciler import AGAIN, EVERY, PolicyReconciler
from webhook.policy.custom_resources import GROUP
from webhook.settings import Settings
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

SINGLE = f"{GROUP}/v1beta1", "VMSingle"
WRITES = {"create", "patch", "delete"}
OF_WATCHING = {"", "selfsubjectaccessreviews"}
"""Plurals of the requests that watching makes at any time beside a round: discovery, and whether it may get a kind."""

_COUNT = itertools.count(1)


class Rounds:
    """A reconciler with rounds one by one, and its requests, log lines and metrics."""

    def __init__(self, client, requests):
        self._stream, self.metrics, self.requests = BytesIO(), Metrics(), requests
        log, settings = Log("info", self._stream), Settings.from_environment({"VM_PSPAUTOCREATEENABLED": "true"})
        self.discovery = Discovery(client, log)
        self.watching = Watching(client, self.discovery, (), log, self.metrics)
        self.defaults = PolicyReconciler(client, self.watching, self.discovery, settings, log, self.metrics)

    async def take(self):
        """The requests of one round, by verb and plural."""
        self.requests.clear()
        await self.defaults.take()
        ours = [key for key in self.requests if key[0] != "watch" and key[1] not in OF_WATCHING]
        return Counter({key: self.requests[key] for key in ours})

    async def until(self, name, spec):
        """Wait until a resource is watched as it is now."""
        async with asyncio.timeout(PATIENCE):
            while spec not in [each.spec for _, each in self.watching.customs() if each.metadata.name == name]:
                self.watching.changed.clear()
                await self.watching.changed.wait()

    def told(self, message):
        lines = map(json.loads, self._stream.getvalue().splitlines())
        return [line for line in lines if line["message"] == message]

    def troubles(self, namespace, reason):
        labels = {"namespace": namespace, "reason": reason}
        return self.metrics.registry.get_sample_value("vmguard_policy_troubles", labels)


@asynccontextmanager
async def rounds(plane):
    """Rounds in a control plane that is watched and known."""
    requests = Counter()

    def count(verb, resource, _status):
        requests[verb, resource] += 1

    async with connected(str(plane.kubeconfig()), (1000, 1000), count) as client:
        one = Rounds(client, requests)
        task = asyncio.create_task(one.watching.run())
        try:
            await one.watching.synced()
            yield one
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture(scope="module")
def plane_124(can_have_policies):
    """One of its own, as a round is about all resources that there are."""
    with control_plane(WITH_POLICIES) as started:
        started.install_resources()
        yield started


@pytest.fixture
def place(plane_124):
    """A namespace whose resources end with the test, so that no other test's leader makes anything for them."""
    name = plane_124.namespace(f"rounds-{next(_COUNT)}")
    yield name
    for each in plane_124.api.list(*SINGLE, name):
        plane_124.api.patch(*SINGLE, each["metadata"]["name"], {"metadata": {"finalizers": None}}, name)
        plane_124.api.delete_if_there(*SINGLE, each["metadata"]["name"], name)
    plane_124.api.delete_if_there("v1", "Namespace", name)


def run(plane, steps):
    async def all_of_them():
        async with rounds(plane) as one:
            await steps(one)

    asyncio.run(all_of_them())


def test_a_round_on_what_is_as_it_must_be_writes_nothing(plane_124, place):
    """And once it has seen that, reads no object again whose version is the same."""
    for name in ("a", "b"):
        plane_124.api.create(custom_resource(f"{place}-{name}"), place)

    async def steps(one):
        first, second, third = [await one.take() for _ in range(3)]
        assert {resource for verb, resource in first if verb == "create"} == {
            "podsecuritypolicies",
            "serviceaccounts",
            "roles",
            "rolebindings",
        }
        assert not WRITES & {verb for verb, _ in second + third}
        assert {verb for verb, _ in third} == {"list"}
        name = f"vmguard:vmsingle-{place}-a"
        await asyncio.to_thread(plane_124.api.patch, RBAC, "Role", name, {"rules": []}, place)
        assert (await one.take())["patch", "roles"] == 1
        assert plane_124.api.get(RBAC, "Role", name, place)["rules"]

    run(plane_124, steps)


def test_what_tenants_write_is_never_held(plane_124, place, monkeypatch):
    """Roles that wear the label, with rules or annotations as large as can be, in any number."""
    monkeypatch.setattr(client_module, "MOST_BYTES", 1024 * 1024)
    plane_124.api.create(custom_resource(place), place)
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["x" * 60] * 10_000}
    for number in range(60):
        notes = {"a": "b" * 200_000}
        meta = {"name": f"vmguard:vmsingle-{number}", "labels": {LABEL: OURS}, "annotations": notes}
        plane_124.api.create({"apiVersion": RBAC, "kind": "Role", "metadata": meta, "rules": [rule]}, place)

    async def steps(one):
        await one.take()
        tracemalloc.start()
        try:
            await one.take()
            held, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 32 * 1024 * 1024, "some pages that were too large; all objects are several times that"
        assert held < 4 * 1024 * 1024

    run(plane_124, steps)
    assert len(plane_124.api.list(RBAC, "Role", place)) == 61, "these are not ours"


def test_the_label_alone_makes_nothing_ours_and_what_is_removed_is_named(plane_124, place):
    name, made = place, f"vmguard:vmsingle-{place}"
    plane_124.api.create(custom_resource(name), place)
    meta = {"name": f"{made}-of-somebody", "labels": {LABEL: OURS}}
    reference = {"apiGroup": RBAC_GROUP, "kind": "Role", "name": meta["name"]}
    labelled = pod_security_policy(f"vmguard-{place}")
    labelled["metadata"]["labels"] = {LABEL: OURS}
    plane_124.api.create({"apiVersion": RBAC, "kind": "Role", "metadata": meta, "rules": []}, place)
    binding = {"apiVersion": RBAC, "kind": "RoleBinding", "metadata": meta, "roleRef": reference, "subjects": []}
    plane_124.api.create(binding, place)
    plane_124.api.create(labelled)

    async def steps(one):
        await one.take()
        spec = {"podSecurityPolicyName": "unbindable"}
        await asyncio.to_thread(plane_124.api.patch, *SINGLE, name, {"spec": spec}, place)
        await one.until(name, spec)
        await one.take()
        assert {line["resource"] for line in one.told("default policy removed")} >= {
            f"roles.{RBAC_GROUP} {place}/{made}",
            f"rolebindings.{RBAC_GROUP} {place}/{made}",
            f"podsecuritypolicies.policy vmsingle-{place}",
        }
        assert not [line for line in one.told("default policy removed") if "of-somebody" in str(line)]

    run(plane_124, steps)
    for kind in ("Role", "RoleBinding"):
        assert [each["metadata"]["name"] for each in plane_124.api.list(RBAC, kind, place)] == [meta["name"]]
    assert plane_124.api.find(*PSP, labelled["metadata"]["name"])


def test_a_loosened_policy_is_made_anew(plane_124, place):
    plane_124.api.create(custom_resource(place), place)
    name = f"vmsingle-{place}"
    loose = {"privileged": True, "hostPID": True, "hostPorts": [{"min": 1, "max": 65535}]}

    async def steps(one):
        await one.take()
        before = plane_124.api.get(*PSP, name)
        await asyncio.to_thread(plane_124.api.patch, *PSP, name, {"spec": loose})
        await one.take()
        after = plane_124.api.get(*PSP, name)
        assert after["spec"] == before["spec"]
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert plane_124.api.find(RBAC, "RoleBinding", f"vmguard:{name}", place)

    run(plane_124, steps)


def test_an_object_made_after_the_list_is_not_changed_and_no_account_is_bound(plane_124, place, monkeypatch):
    """Between a list and a write there is always time for it."""
    other = plane_124.namespace(f"{place}-other")
    for each in (place, other):
        plane_124.api.create(custom_resource(place), each)
    name = f"vmsingle-{place}"

    async def steps(one):
        there = one.defaults._there
        before = None

        async def late(resource, query=""):
            nonlocal before
            async for each in there(resource, query):
                yield each
            if resource.kind == PSP[1] and not before:
                before = await asyncio.to_thread(plane_124.api.create, pod_security_policy(name, privileged=True))

        monkeypatch.setattr(one.defaults, "_there", late)
        await one.take()
        assert plane_124.api.get(*PSP, name) == before
        assert [one.troubles(each, "not-ours") for each in (place, other)] == [1.0, 1.0]
        assert not plane_124.api.find(RBAC, "Role", f"vmguard:{name}", place)
        assert not plane_124.api.find(RBAC, "RoleBinding", f"vmguard:{name}", place)

    run(plane_124, steps)
    plane_124.api.delete(*PSP, name)
    plane_124.api.delete(*SINGLE, place, other)


def test_no_account_stays_bound_to_a_foreign_role_but_to_one_that_cannot_be_read(plane_124, place, monkeypatch):
    plane_124.api.create(custom_resource(place), place)
    where = f"vmguard:vmsingle-{place}", place

    def bound():
        return plane_124.api.find(RBAC, "RoleBinding", *where)

    async def unreachable(_resource, _place):
        raise UnreachableError("no answer")

    async def steps(one):
        await one.take()
        with monkeypatch.context() as broken:
            broken.setattr(one.defaults, "_read", unreachable)
            await one.take()
        assert bound()
        assert one.troubles(place, "failed") == 1.0
        await asyncio.to_thread(plane_124.api.patch, RBAC, "Role", where[0], {"metadata": {"labels": None}}, place)
        await one.take()
        assert one.troubles(place, "not-ours") == 1.0
        assert not bound()
        assert plane_124.api.find(RBAC, "Role", *where)

    run(plane_124, steps)


def test_only_the_very_object_that_was_read_is_changed(plane_124, place):
    """It deletes neither the replacement nor an object that a user has changed since, and creates none there."""
    meta = {"name": "a", "namespace": place}
    role = {"apiVersion": RBAC, "kind": "Role", "metadata": meta, "rules": []}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    api = plane_124.api

    async def asked():
        async with connected(str(plane_124.kubeconfig())) as client:
            assert await create(client, ROLES, role)
            assert not await create(client, ROLES, role | {"rules": rules})
            read = api.get(RBAC, "Role", "a", place)
            assert not read["rules"]
            api.patch(RBAC, "Role", "a", {"metadata": {"labels": {"a": "b"}}}, place)
            with pytest.raises(RefusedError, match="409"):
                await apply(client, ROLES, role | {"rules": rules}, read)
            api.delete(RBAC, "Role", "a", place)
            with pytest.raises(RefusedError):
                await apply(client, ROLES, role | {"rules": rules}, read)
            assert not api.find(RBAC, "Role", "a", place)
            other = api.create(role, place)
            with pytest.raises(RefusedError):
                await apply(client, ROLES, role | {"rules": rules}, read)
            assert api.get(RBAC, "Role", "a", place) == other
            await apply(client, ROLES, role | {"rules": rules}, other)
            assert api.get(RBAC, "Role", "a", place)["rules"] == rules

    asyncio.run(asked())


def test_a_namespace_that_is_being_deleted_is_no_trouble(plane_124, place):
    thing = custom_resource(place)
    thing["metadata"]["finalizers"] = [f"{GROUP}/finalizer"]
    plane_124.api.create(thing, place)
    plane_124.api.delete("v1", "Namespace", place)
    wait_for(lambda: not plane_124.api.find("v1", "ServiceAccount", "default", place), "the namespace to be emptied")

    async def steps(one):
        await one.take()
        assert one.troubles(place, "failed") is None
        assert not [line for line in one.told("policy not bound") if place in str(line)]
        assert one.defaults._pause(set()) in {AGAIN, EVERY}, "nothing failed"

    run(plane_124, steps)


def test_a_quota_is_no_missing_rule_and_two_objects_of_one_resource_are_one_trouble(plane_124, place):
    hard = {"count/roles.rbac.authorization.k8s.io": "0", "count/serviceaccounts": "0"}
    plane_124.api.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}, place
    )
    wait_for(lambda: plane_124.api.get("v1", "ResourceQuota", "q", place).get("status", {}).get("used"), "the quota")
    plane_124.api.create(custom_resource(place), place)

    async def steps(one):
        await one.take()
        told = [line["reason"] for line in one.told("policy not bound") if place in line["resource"]]
        assert len(told) == 2
        assert all("exceeded quota: q" in each and "the rule" not in each and "may not" not in each for each in told)
        assert one.troubles(place, "failed") == 1.0
        failed = set(one.defaults._failed)
        pauses = [one.defaults._pause(set()), *(one.defaults._pause(failed) for _ in range(9))]
        assert all(later > sooner for sooner, later in itertools.pairwise(pauses[:5])), "ever longer"
        assert pauses[-1] > EVERY / 2

    run(plane_124, steps)


def test_nothing_is_removed_from_a_resource_that_is_only_not_known(plane_124, place, monkeypatch):
    """A watch may lag, and discovery miss a kind: what a leader made stays until a look says otherwise."""
    plane_124.api.create(custom_resource(place), place)
    name = f"vmsingle-{place}"

    def there():
        role, binding = (plane_124.api.find(RBAC, kind, f"vmguard:{name}", place) for kind in ("Role", "RoleBinding"))
        return [bool(each) for each in (role, binding, plane_124.api.find(*PSP, name))]

    async def steps(one):
        await one.take()
        assert there() == [True] * 3
        with monkeypatch.context() as patched:
            patched.setattr(one.watching, "customs", lambda: iter(()))
            assert not (await one.take())["delete", "roles"]
            assert there() == [True] * 3
            patched.setattr(one.discovery, "versions", {})
            await one.take()
            assert there() == [True] * 3
            await asyncio.to_thread(plane_124.api.delete, *SINGLE, place, place)
            await one.take()
            assert there() == [False] * 3

    run(plane_124, steps)
