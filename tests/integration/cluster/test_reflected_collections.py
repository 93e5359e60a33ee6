"""A cached collection equals the API server's, whatever happens to the connection."""

import asyncio
import functools
import itertools

import msgspec
import pytest

from tests.support.reflectors import SINGLES, follow, names_in
from tests.support.resource_manifests import custom_resource
from webhook.cluster import client, listing, watching
from webhook.cluster.collections import WORKLOADS, custom
from webhook.cluster.reflector import Reflector
from webhook.policy.custom_resources import GROUP


def test_it_lists_in_pages_and_follows_what_is_made_changed_and_deleted(plane, namespace, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 7)
    for index in range(20):
        plane.api.create(custom_resource(f"s{index}"), namespace)
    seen = []
    follow(
        plane.kubeconfig(),
        SINGLES,
        namespace,
        (None, lambda r: r.synced.is_set() and len(r.objects) == 20),
        (lambda: plane.api.create(custom_resource("late", a=1), namespace), lambda r: "late" in names_in(r)),
        (
            lambda: plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "late", {"spec": {"a": 2}}, namespace),
            lambda r: r.objects[namespace, "late"].spec == {"a": 2},
        ),
        (
            lambda: plane.api.delete(f"{GROUP}/v1beta1", "VMSingle", "late", namespace),
            lambda r: "late" not in names_in(r),
        ),
        changed=lambda key, found: seen.append((key[1], found is not None)),
    )
    assert seen[-3:] == [("late", True), ("late", True), ("late", False)]


@pytest.mark.parametrize(
    ("resource", "keep", "told"),
    [
        (SINGLES, functools.partial(watching._resource, "VMSingle"), [1, True]),
        (msgspec.structs.replace(SINGLES, metadata_only=True), watching._owner, [None]),
        (msgspec.structs.replace(SINGLES, metadata_only=True), watching._named, [None] * 5),
    ],
)
def test_what_is_kept_stays_the_same_object_until_it_changes(plane, namespace, resource, keep, told):
    """A controller writes a status repeatedly; if only a name is cached, any change may matter.

    In Python 1 equals True; a reader of a bool distinguishes them.
    """
    place = f"{GROUP}/v1beta1", "VMSingle", "s"
    plane.api.create(custom_resource("s", useStrictSecurity=1), namespace)

    def write():
        for number in range(3):
            plane.api.patch(*place, {"status": {"number": number}}, namespace)
        plane.api.patch(*place, {"spec": {"useStrictSecurity": True}}, namespace)

    seen = []
    steps = (
        (None, lambda r: not r.trouble),
        (write, lambda r: r._version == plane.api.get(*place, namespace)["metadata"]["resourceVersion"]),
    )
    reflector = follow(
        plane.kubeconfig(), resource, namespace, *steps, keep=keep, changed=lambda _key, found: seen.append(found)
    )
    assert [found.spec and found.spec["useStrictSecurity"] for found in seen] == told
    assert reflector.objects[namespace, "s"] is seen[-1]
    assert len(set(map(id, seen))) == len(seen)


def test_pages_that_are_too_large_are_read_with_fewer_objects(plane, namespace, monkeypatch):
    """If one object alone is too large, the reflector reports that."""
    monkeypatch.setattr(client, "MOST_BYTES", 30_000)
    for index in range(20):
        plane.api.create(custom_resource(f"s{index}", a="a" * 5_000), namespace)
    follow(plane.kubeconfig(), SINGLES, namespace, (None, lambda r: len(r.objects) == 20))
    plane.api.create(custom_resource("large", a="a" * 30_000), namespace)
    reflector = follow(plane.kubeconfig(), SINGLES, namespace, (None, lambda r: "larger than" in r.trouble))
    assert not reflector.synced.is_set()


def test_a_version_that_is_too_old_leads_to_a_new_list_and_nothing_is_missing_meanwhile(plane, namespace):
    plane.api.create(custom_resource("a"), namespace)

    def too_old(reflector):
        assert "a" in names_in(reflector) or not reflector.synced.is_set()
        return reflector.lists == 2 and not reflector.trouble

    class Old(Reflector):
        async def _list_all(self):
            version = await super()._list_all()
            return "1" if self.lists == 1 else version

    reflector = follow(plane.kubeconfig(), SINGLES, namespace, (None, too_old), of=Old)
    assert names_in(reflector) == {"a"}


def test_an_api_server_that_always_says_too_old_gets_fewer_and_fewer_requests(plane, namespace):
    """Every version is too old here; the listed objects stay served, and the reflector reports the trouble."""
    plane.api.create(custom_resource("a"), namespace)
    at = []

    class Old(Reflector):
        async def _list_all(self):
            await super()._list_all()
            at.append(asyncio.get_running_loop().time())
            return "1"

    reflector = follow(plane.kubeconfig(), SINGLES, namespace, (None, lambda r: r.lists == 5 and r.trouble), of=Old)
    pauses = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert all(pause > least for pause, least in zip(pauses, (0.16, 0.32, 0.64, 1.28), strict=True)), pauses
    assert "HTTP 410" in reflector.trouble
    assert names_in(reflector) == {"a"}


def test_a_collection_without_an_open_watch_is_reported(plane, namespace):
    class Unwatched(Reflector):
        async def _watch(self, version):
            await asyncio.Event().wait()

    reflector = follow(plane.kubeconfig(), SINGLES, namespace, (None, lambda r: r.synced.is_set()), of=Unwatched)
    assert reflector.trouble == "listed, but its watch is not open yet"


def test_only_metadata_of_labelled_objects_is_read(plane, namespace):
    meta = {"managed-by": "vm-operator"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    spec = {"serviceName": "x", "selector": {"matchLabels": {"a": "b"}}, "template": template}
    for name, labels in (("mine", meta), ("other", {})):
        thing = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name, "labels": labels}}
        plane.api.create({**thing, "spec": spec}, namespace)
    statefulsets = next(each for each in WORKLOADS if each.kind == "StatefulSet")
    reflector = follow(plane.kubeconfig(), statefulsets, namespace, (None, lambda r: "mine" in names_in(r)))
    assert names_in(reflector) == {"mine"}
    assert reflector.objects[namespace, "mine"].spec is None


def test_a_missing_permission_is_named_with_verb_resource_and_namespace(plane, namespace):
    reflector = follow(
        plane.kubeconfig("nobody-at-all", ("none",)),
        SINGLES,
        namespace,
        (None, lambda r: r.trouble.startswith("may not")),
    )
    assert f"may not list vmsingles.{GROUP} in namespace {namespace}: HTTP 403" in reflector.trouble
    assert not reflector.synced.is_set()


def test_what_is_not_served_is_named(plane):
    reflector = follow(
        plane.kubeconfig(), custom("VMSingle", "v9"), "", (None, lambda r: r.trouble.endswith("is not served"))
    )
    assert not reflector.objects
