"""The memory that the texts of requests leave behind, whatever their length. Only bytes are asserted."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.admission_reviews import pod_review
from tests.support.asgi import admission
from tests.support.sample_pods import LABELS, vmsingle
from webhook.cluster.cached import CachedFacts
from webhook.cluster.watching import _labelled, _owner
from webhook.facts import Found, Lookup, Ref
from webhook.objects import KubeObject, Metadata, OwnerReference
from webhook.policy.custom_resources import GROUP

pytestmark = pytest.mark.slow

LONG = 32 * 1024
"""Characters of one text: no name in a cluster has more than 253."""

REQUESTS = 12

MOST_LEFT = 4 * LONG
"""Bytes that may be left of all requests, each with another long text: a third of what these texts are together."""

Review = dict[str, Any]


def _long(number: int) -> str:
    return f"{number:03}" + "x" * LONG


def _owned(field: str, before: str = "", after: str = "") -> Callable[[int], Review]:
    """The review of a pod with a long text in its owner reference."""

    def review(number: int) -> Review:
        pod, _ = vmsingle()
        pod["metadata"]["ownerReferences"][0][field] = f"{before}{_long(number)}{after}"
        return pod_review(pod)

    return review


def _requested(field: str) -> Callable[[int], Review]:
    return lambda number: pod_review(vmsingle()[0], **{field: _long(number)})


def _of_kind(field: str) -> Callable[[int], Review]:
    kind = {"group": GROUP, "version": "v1beta1", "kind": "VMSingle"}
    return lambda number: pod_review(vmsingle()[0], kind={**kind, field: _long(number)})


def _labelled_pod(label: str) -> Callable[[int], Review]:
    return lambda number: pod_review(vmsingle(labels={**LABELS, label: _long(number)})[0])


def _with_context(number: int) -> Review:
    pod, _ = vmsingle()
    pod["spec"]["containers"][0]["securityContext"] = {_long(number): True}
    return pod_review(pod)


ATTACKS: dict[str, Callable[[int], Review]] = {
    "owner name": _owned("name"),
    "owner kind": _owned("kind"),
    "owner uid": _owned("uid"),
    "owner group": _owned("apiVersion", after="/v1"),
    "owner version": _owned("apiVersion", before="apps/"),
    **{f"request {field}": _requested(field) for field in ("uid", "namespace", "name", "operation", "subResource")},
    **{f"kind's {field}": _of_kind(field) for field in ("group", "version", "kind")},
    "security context field": _with_context,
    "generation": _labelled_pod("pod-template-hash"),
    "component label": _labelled_pod("app.kubernetes.io/name"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_long_text_of_a_request_is_gone_after_its_answer(attack):
    """Requests that have another long text each leave less than a third of these texts in memory."""
    app = admission(vmsingle()[1])
    first, *bodies = (json.dumps(ATTACKS[attack](number)).encode() for number in range(REQUESTS + 1))

    async def ask() -> None:
        for body in bodies:
            for webhook in ("/mutate", "/validate"):
                await app.answer(webhook, body)

    app.ask("/mutate", first)
    assert _left_by(ask) < MOST_LEFT


def test_a_long_query_is_gone_after_its_answer():
    """A query has the length of a whole request head at most, and is not cached."""
    app = admission(vmsingle()[1])
    body = json.dumps(pod_review(vmsingle()[0])).encode()
    queries = [f"timeout={_long(number)}".encode() for number in range(REQUESTS)]

    async def ask() -> None:
        for query in queries:
            await app.answer("/mutate", body, query=query)

    assert _left_by(ask) < MOST_LEFT


class _Everything:
    """Live facts that find each object."""

    async def get(self, ref, deadline, payer=""):
        return Found(KubeObject(Metadata(name="db", namespace="mon")), "live")

    async def names(self, ref, deadline, payer=""):
        return ()


@pytest.mark.parametrize("field", ["version", "namespace", "uid", "requester"])
def test_a_lookup_leaves_no_long_text_behind(field):
    """The cache of facts has no key that is longer than the names of stored objects."""

    async def look_up() -> CachedFacts:
        watching = SimpleNamespace(find=lambda ref: None, of=lambda ref: None, whole_cluster=True)
        source = CachedFacts(watching, SimpleNamespace(serves_policies=True, minor=24), _Everything())
        deadline = asyncio.get_running_loop().time() + 30
        for number in range(REQUESTS):
            texts = {"version": "v1beta1", "namespace": "mon", "uid": "u", "requester": "mon", field: _long(number)}
            requester = texts.pop("requester")
            await source.get(Lookup(Ref(GROUP, kind="VMSingle", name="db", **texts), "one", requester), deadline)
            await source.get(Lookup(Ref(GROUP, "v1", "VMSingle", "", "db"), requester=requester), deadline)
        return source

    assert _left_by(look_up) < MOST_LEFT


@pytest.mark.parametrize("field", ["api_version", "kind", "name", "uid"])
def test_an_owner_reference_with_a_long_text_is_not_cached(field):
    """The API server stores owner references with texts of any length; a watched owner keeps none of them."""

    def stored(number: int) -> KubeObject:
        texts = {"api_version": "apps/v1", "kind": "Deployment", "name": "db", "uid": "u", field: _long(number)}
        owner = OwnerReference(**texts, controller=True)
        return _owner(KubeObject(Metadata(name="db-1", namespace="mon", uid="u", owner_references=[owner])))

    async def watch() -> list[KubeObject]:
        return [stored(number) for number in range(REQUESTS)]

    assert _left_by(watch) < MOST_LEFT


def test_of_a_namespace_only_labels_of_vmguard_are_cached():
    """A Namespace may have a megabyte of labels, and every replica caches every Namespace."""

    async def watch() -> list[KubeObject]:
        labels = ({f"a{number}": "x" for number in range(10_000)} | {"vmguard/enforce": "deny"} for _ in range(20))
        return [_labelled(KubeObject(Metadata(name="mon", labels=each))) for each in labels]

    assert _left_by(watch) < MOST_LEFT
    assert asyncio.run(watch())[0].metadata.labels == {"vmguard/enforce": "deny"}


def _left_by(ask: Callable[[], Awaitable[Any]]) -> int:
    """Bytes that are allocated while something is done and not freed with its loop; its result counts."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        result = asyncio.run(ask())
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
        del result
        return left - before
    finally:
        tracemalloc.stop()
