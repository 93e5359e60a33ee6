"""An object that is nested deeply or cannot be read hides no other object of its collection."""

import io
import json

import pytest

from tests.controlplane.api import wait_for
from tests.support.live_facts import looked_up
from tests.support.reflectors import SINGLES, follow, names_in
from tests.support.resource_manifests import custom_resource
from webhook.cluster.collections import Collection
from webhook.cluster.discovery import Discovery
from webhook.cluster.reflector import Reflector
from webhook.cluster.watching import Watching
from webhook.facts import Found, Ref
from webhook.policy.custom_resources import GROUP
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

DEPTH = 9_990
"""Nested arrays: the API server takes them, and no Python so far decodes a list with them."""


def nested(depth):
    return "[" * depth + "]" * depth


def make_deep(plane, namespace, name):
    """A usual VMSingle, with a wrong field of a container that no decision reads."""
    containers = f'[{{"name":"x","y":{nested(DEPTH)}}}]'
    text = json.dumps(custom_resource(name, useStrictSecurity=False, containers="HERE")).replace('"HERE"', containers)
    path = f"/apis/{GROUP}/v1beta1/namespaces/{namespace}/vmsingles"
    done = plane.kubectl("create", "--raw", path, "-f", "-", stdin=text)
    assert done.returncode == 0, done.stderr[:300]


def test_an_object_that_is_nested_deeply_is_listed_and_followed_and_so_are_the_others(plane, namespace):
    make_deep(plane, namespace, "listed")
    plane.api.create(custom_resource("a"), namespace)
    reflector = follow(
        plane.kubeconfig(),
        SINGLES,
        namespace,
        (None, lambda r: names_in(r) == {"listed", "a"}),
        (lambda: make_deep(plane, namespace, "followed"), lambda r: "followed" in names_in(r)),
        (lambda: plane.api.create(custom_resource("b"), namespace), lambda r: "b" in names_in(r)),
    )
    for name in ("listed", "followed"):
        assert reflector.objects[namespace, name].spec["useStrictSecurity"] is False
    assert reflector.lists == 1
    (fact,) = looked_up(plane.kubeconfig(), Ref(GROUP, "v1beta1", "VMSingle", namespace, "listed"))
    assert isinstance(fact, Found)
    assert fact.object.spec["useStrictSecurity"] is False
    (found,) = looked_up(plane.kubeconfig(), Ref(GROUP, "v1beta1", "VMSingle", namespace, ""), names=True)
    assert found == ("a", "b", "followed", "listed")


@pytest.fixture
def loose(plane):
    """A resource whose spec may be anything."""
    kept = {"type": "object", "properties": {"spec": {"x-kubernetes-preserve-unknown-fields": True}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": kept}}
    meta = {"name": "looses.example.com"}
    named = {"plural": "looses", "kind": "Loose"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": named, "versions": [version]}
    kind = "CustomResourceDefinition"
    plane.api.create({"apiVersion": "apiextensions.k8s.io/v1", "kind": kind, "metadata": meta, "spec": spec})
    wait_for(lambda: plane.api.serves("example.com/v1", "Loose"), "the resource to be served")
    yield Collection("example.com", "v1", "Loose", "looses", metadata_only=False)
    plane.api.delete("apiextensions.k8s.io/v1", kind, meta["name"])


def thing(name, spec):
    return {"apiVersion": "example.com/v1", "kind": "Loose", "metadata": {"name": name}, "spec": spec}


def test_an_object_that_cannot_be_read_is_named_and_not_kept_and_the_others_are(plane, namespace, loose):
    """Until the object is readable again, vmguard does not use its earlier state."""
    plane.api.create(thing("listed", "text"), namespace)
    plane.api.create(thing("turns", {"a": 1}), namespace)
    stderr = io.BytesIO()

    def spec(name, value):
        return lambda: plane.api.patch("example.com/v1", "Loose", name, {"spec": value}, namespace)

    def troubles(reflector):
        watching = Watching(reflector._client, Discovery(reflector._client, Log("error")), (), Log("error"), Metrics())
        watching._reflectors["Loose", namespace] = reflector
        return watching.troubles()

    class Reporter(Reflector):
        def __init__(self, client, resource, namespace, keep, _, changed):
            super().__init__(client, resource, namespace, keep, Log("warning", stderr), changed)

    reflector = follow(
        plane.kubeconfig(),
        loose,
        namespace,
        (None, lambda r: names_in(r) == {"turns"} and set(r.unreadable) == {(namespace, "listed")}),
        (None, lambda r: "it cannot be read: Expected" in troubles(r)[f"looses.example.com {namespace}/listed"]),
        (spec("turns", "text"), lambda r: names_in(r) == set() and len(r.unreadable) == 2),
        (spec("turns", {"a": 2}), lambda r: names_in(r) == {"turns"} and len(r.unreadable) == 1),
        (spec("listed", {"a": 2}), lambda r: names_in(r) == {"turns", "listed"} and not r.unreadable),
        of=Reporter,
    )
    assert reflector.lists == 1
    told = [line["object"] for line in map(json.loads, stderr.getvalue().splitlines())]
    assert told == [f"{namespace}/listed", f"{namespace}/turns"]
