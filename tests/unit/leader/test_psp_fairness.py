"""One tenant's objects do not delay the binding of another's: requests to the API server are counted, not timed."""

import asyncio
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest

from tests.support.kubeconfigs import kubeconfig_to
from tests.support.patience import PATIENCE
from tests.support.stored_objects import stored_objects
from webhook.cluster.client import connected
from webhook.cluster.collections import BINDINGS, PSP, ROLES, custom
from webhook.leader.psp_objects import LABEL, OURS
from webhook.leader.psp_reconciler import PolicyReconciler
from webhook.objects import KubeObject, Metadata
from webhook.policy.custom_resources import GROUP
from webhook.settings import Settings
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

pytestmark = pytest.mark.slow

SINGLES = custom("VMSingle", "v1beta1")
AGENTS = custom("VMAgent", "v1beta1")

FORGED = 400

FEW = 40
"""Requests for the attacker's objects that one binding of the victim may wait for."""


class WatchedResources:
    """Resources that are watched, and a set of changes."""

    def __init__(self):
        self.changed = asyncio.Event()
        self._found = {}

    def add(self, namespace, name, **spec):
        place = namespace, name
        uid = f"uid-{namespace}-{name}"
        self._found[place] = KubeObject(Metadata(name=name, namespace=namespace, uid=uid), spec)
        self.changed.set()

    def remove(self, namespace, name):
        del self._found[namespace, name]
        self.changed.set()

    def customs(self):
        return [(SINGLES, found) for found in self._found.values()]

    def find(self, ref):
        found = self._found.get((ref.namespace, ref.name)) if ref.kind == "VMSingle" else None
        return (SimpleNamespace(resource=SINGLES), found) if found else None


def forged(kind, namespace, number, owner_kind="VMSingle", owner=""):
    """An object with all marks of vmguard's own, which a user who may write Roles can make."""
    reference = {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": owner_kind,
        "name": owner or f"forged-{number}",
        "uid": f"forged-{number}",
    }
    metadata = {
        "name": f"vmguard:vmsingle-forged-{number:03}",
        "namespace": namespace,
        "labels": {LABEL: OURS},
        "ownerReferences": [reference],
    }
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata}


@asynccontextmanager
async def reconciling(tmp_path):
    """An API server, what is watched, and a reconciler that runs until the block ends: `(stored, watching, start)`."""
    async with (
        stored_objects() as stored,
        connected(str(kubeconfig_to(stored.url, tmp_path / "c")), (1e6, 1e6)) as client,
    ):
        watching = WatchedResources()
        settings = Settings.from_environment({"VM_PSPAUTOCREATEENABLED": "true"})
        discovery = SimpleNamespace(versions={"VMSingle": "v1beta1"})
        reconciler = PolicyReconciler(client, watching, discovery, settings, Log("error"), Metrics())
        tasks = []
        try:
            yield stored, watching, reconciler, lambda: tasks.append(asyncio.create_task(reconciler.run()))
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def until(true):
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - requests of a server in this process
            await asyncio.sleep(0.01)


def about(stored, namespace, since=0):
    return [line for line in stored.requests[since:] if f"/namespaces/{namespace}/" in line]


@pytest.mark.parametrize("owner", ["", "..", "x" * 10_000], ids=["gone", "dots", "long"])
@pytest.mark.parametrize("owner_kind", ["VMSingle", "VMAgent"])
@pytest.mark.parametrize("collection", [ROLES, BINDINGS], ids=str)
def test_forged_objects_of_one_tenant_delay_no_binding_of_another(collection, owner_kind, owner, tmp_path):
    """The victim's resource comes while a round looks at the attacker's 400 forged Roles or RoleBindings."""

    async def measured():
        async with reconciling(tmp_path) as (stored, watching, _, start):
            stored.unserved = AGENTS.path("attacker")  # owners of an unserved kind are asked about in every round
            for number in range(FORGED):
                path = collection.path("attacker")
                stored.put(path, forged(collection.kind, "attacker", number, owner_kind, owner))
            start()
            await until(lambda: len(about(stored, "attacker")) >= 5)
            since = len(stored.requests)
            watching.add("victim", "db")
            await until(lambda: stored.made(of=BINDINGS.path("victim")))
            return len(about(stored, "attacker", since))

    assert asyncio.run(measured()) <= FEW


def test_many_resources_of_one_tenant_delay_no_binding_of_another(tmp_path):
    """The victim's resource comes while the 200 new ones of the attacker are bound."""

    async def measured():
        async with reconciling(tmp_path) as (stored, watching, _, start):
            start()
            await until(lambda: stored.requests)
            for number in range(200):
                watching.add("attacker", f"db-{number}")
            await until(lambda: len(stored.made(of="/namespaces/attacker/")) >= 5)
            watching.add("victim", "db")
            since = len(stored.requests)
            await until(lambda: stored.made(of=BINDINGS.path("victim")))
            return len(about(stored, "attacker", since))

    assert asyncio.run(measured()) <= FEW


def test_a_round_removes_some_of_each_namespace_and_the_next_rounds_the_others(tmp_path):
    """400 leftovers of one namespace do not keep the one of another; in the end all of them are gone."""

    async def rounds():
        async with reconciling(tmp_path) as (stored, _, reconciler, _):
            for number in range(FORGED):
                stored.put(ROLES.path("attacker"), forged("Role", "attacker", number))
            stored.put(ROLES.path("victim"), forged("Role", "victim", 0))
            left = []
            while not left or any(left[-1]):
                await reconciler.take()
                left.append([sum(path in place for place in stored.objects) for path in ("/attacker/", "/victim/")])
                assert len(left) <= FORGED
            return left, len(stored.requests)

    left, _ = asyncio.run(rounds())
    assert left[0] == [FORGED - 20, 0]
    assert left[-1] == [0, 0]


def test_what_cannot_be_removed_hides_nothing_behind_it(tmp_path):
    """Leftovers with an unknown owner stay; the rounds still reach the others of their namespace."""

    async def rounds():
        async with reconciling(tmp_path) as (stored, _, reconciler, _):
            stored.unserved = AGENTS.path("mon")
            for number in range(60):
                stored.put(ROLES.path("mon"), forged("Role", "mon", number, "VMAgent"))
            stored.put(ROLES.path("mon"), forged("Role", "mon", 99))
            for _ in range(4):
                await reconciler.take()
            return sorted(place.rpartition("-")[2] for place in stored.objects)

    assert asyncio.run(rounds()) == [f"{number:03}" for number in range(60)]


def test_an_object_of_a_resource_that_came_during_the_round_stays(tmp_path):
    """A round knows the resources at its beginning, but what it removes is judged by those there are at its end."""

    async def kept():
        async with reconciling(tmp_path) as (stored, watching, reconciler, _):
            watching.add("mon", "old")

            def add(line):
                if line == f"GET {ROLES.path()}" and not watching.find(
                    SimpleNamespace(kind="VMSingle", namespace="mon", name="new")
                ):
                    watching.add("mon", "new")
                    for number, collection in enumerate((ROLES, BINDINGS)):
                        thing = forged(collection.kind, "mon", number, owner="new")
                        thing["metadata"]["name"] = "vmguard:vmsingle-new"
                        thing["metadata"]["ownerReferences"][0]["uid"] = "uid-mon-new"
                        stored.put(collection.path("mon"), thing)
                    stored.put(PSP.path(), {"metadata": {"name": "vmsingle-new", "labels": {LABEL: OURS}}})

            stored.before_each = add
            await reconciler.take()
            return [line for line in stored.requests if line.startswith("DELETE")]

    assert asyncio.run(kept()) == []
