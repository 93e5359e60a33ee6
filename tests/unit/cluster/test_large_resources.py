"""The cost of one tenant's resources is limited: vmguard counts their bytes, and still judges their pods."""

import asyncio
import gc
import json
import tracemalloc
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest

from tests.support.sample_pods import pod, resource, workload
from webhook.admission.admission_review import decode, review_of
from webhook.admit import admit
from webhook.cluster.cache_share import MOST_OF_NAMESPACE
from webhook.cluster.cached import BUDGET, FREE_BYTES, CachedFacts
from webhook.cluster.collections import custom
from webhook.cluster.reflector import Reflector
from webhook.cluster.watching import _resource, _weight
from webhook.driver import drive_async
from webhook.facts import Found, Lookup, Ref, Unknown
from webhook.objects import KubeObject
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.conditions import EACH
from webhook.policy.custom_resources import GROUP
from webhook.policy.projection import LARGEST_CACHED, paths_of_kind
from webhook.settings import Settings
from webhook.telemetry.log import Log

JSON_BYTES = 1_400_000
"""Of one resource: all that an API server stores."""

_object = msgspec.json.Decoder(KubeObject)


def stored(spec, namespace="mon", name="db", kind="VMSingle"):
    """The bytes of a resource as an API server sends them."""
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}", "resourceVersion": "5"}
    return json.dumps(
        {"apiVersion": f"{GROUP}/v1beta1", "kind": kind, "metadata": metadata, "spec": spec}, separators=(",", ":")
    ).encode()


def watched(kind="VMSingle"):
    reflector = Reflector(None, custom(kind, "v1beta1"), "", partial(_resource, kind), Log("error"), weigh=_weight)
    reflector.synced.set()
    reflector._version = "1"
    return reflector


def kept_bytes(reflector, *bodies):
    """Bytes that a reflector holds of resources that a watch reported."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for body in bodies:
            found = _object.decode(body)
            reflector._put((found.metadata.namespace, found.metadata.name), found)
            del found
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


FILLERS = {
    "empty objects": lambda size: [{}] * (size // 3),
    "empty names": lambda size: [{"name": ""}] * (size // 12),
    "different names": lambda size: [{"name": f"v{number}"} for number in range(size // 18)],
    "numbers": lambda size: [0] * (size // 2),
    "one long text": lambda size: "x" * size,
    "many fields": lambda size: {f"f{number}": {} for number in range(size // 14)},
    "lists": lambda size: [{"volumeMounts": [{}], "name": "x"}] * (size // 36),
}


def _set(path, value):
    """A spec that has a value in the first list, or the last field, of a path."""
    path = path[: path.index(EACH)] if EACH in path and isinstance(value, list) else path
    for field in reversed(path):
        value = [value] if field == EACH else {field: value}
    return value


PLACES = sorted({(kind, path) for kind in (*BY_KIND, *PARENTS) for path in paths_of_kind(kind)}, key=str)


@pytest.mark.slow
@pytest.mark.parametrize("filler", FILLERS)
def test_one_resource_takes_little_memory_whatever_fills_it(filler):
    """Fields of each kind that are read, each filled with 100 KB of JSON."""
    value = FILLERS[filler](100_000)
    for kind, path in PLACES[list(FILLERS).index(filler) :: 20]:
        reflector = watched(kind)
        held = kept_bytes(reflector, stored(_set(path, value), kind=kind))
        assert held < 2 * LARGEST_CACHED, (kind, path)
        if not reflector.objects:
            (why,) = reflector.unreadable.values()
            assert "too large" in why


@pytest.mark.slow
def test_volumes_without_a_name_cost_next_to_nothing():
    """The example: 24 MiB in every replica, and 86 of empty objects."""
    for filler in ("empty names", "empty objects"):
        reflector = watched()
        assert kept_bytes(reflector, stored({"volumes": FILLERS[filler](JSON_BYTES)})) < 64 * 1024
        assert reflector.objects


@pytest.mark.slow
def test_the_resources_of_one_namespace_have_a_share_and_those_of_another_their_own():
    """Of 200 resources of 200 KiB the first ones are cached, and the victim's is; a deleted one makes room."""
    reflector = watched()
    volumes = [{"name": f"{'v' * 250}-{number}"} for number in range(300)]
    bodies = [stored({"volumes": volumes}, "attacker", f"db-{number}") for number in range(200)]
    held = kept_bytes(reflector, *bodies, stored({}, "victim"))
    assert held < 2 * MOST_OF_NAMESPACE
    assert ("victim", "db") in reflector.objects
    cached = [key for key in reflector.objects if key[0] == "attacker"]
    assert 20 < len(cached) < 100
    assert len(reflector.unreadable) == 200 - len(cached)
    reflector._drop(cached[0])
    found = _object.decode(bodies[-1])
    reflector._put(("attacker", "db-199"), found)
    assert ("attacker", "db-199") in reflector.objects


class _Live:
    """Live facts with the bytes of each resource."""

    def __init__(self, bodies):
        self._bodies = bodies
        self.asked = []
        self.on_read = None

    async def get(self, ref, deadline, payer=""):
        self.asked.append(str(ref))
        body = self._bodies[ref.kind]
        self.on_read(payer, len(body))
        return Found(_object.decode(body), "live")


def _source(live, *reflectors):
    by_kind = {reflector.resource.kind: reflector for reflector in reflectors}

    def find(ref):
        reflector = by_kind.get(ref.kind)
        found = reflector.objects.get((ref.namespace, ref.name)) if reflector else None
        return (reflector, found) if found else None

    watching = SimpleNamespace(find=find, of=lambda ref: by_kind.get(ref.kind), whole_cluster=True)
    return CachedFacts(watching, SimpleNamespace(serves_policies=False, minor=30), live)


def _owned_pod():
    cr = resource("VMSingle", "db") | {"metadata": {"name": "db", "uid": "uid-mon-db"}}
    sts = workload("StatefulSet", "vmsingle-db", cr)
    return pod(sts), json.dumps(sts).encode()


def _judged(source, asked, count=1):
    async def run():
        decisions = []
        for _ in range(count):
            review = decode(review_of(asked, uid="u", namespace="mon", name="db-0"))
            deadline = asyncio.get_running_loop().time() + 30
            steps = admit(review, "mutate", Settings(), minor=30)
            decisions.append((await drive_async(steps, source, deadline))[0])
        return decisions

    return asyncio.run(run())


def test_a_pod_of_a_resource_that_is_too_large_to_be_cached_is_judged_by_a_live_read():
    """It gets what its resource sets, as the pods of any other one."""
    asked, sts = _owned_pod()
    volumes = [{"name": f"{'v' * 200}-{number}"} for number in range(2000)]
    body = stored({"volumes": volumes, "securityContext": {"runAsUser": 7}})
    reflector = watched()
    reflector._put(("mon", "db"), _object.decode(body))
    assert not reflector.objects
    live = _Live({"VMSingle": body, "StatefulSet": sts})
    decision, again = _judged(_source(live, reflector), asked, 2)
    assert decision.outcome == again.outcome == "patched"
    assert {"op": "add", "path": "/spec/securityContext", "value": {"runAsUser": 7}} in msgspec.to_builtins(
        decision.patch
    )
    assert live.asked.count("VMSingle mon/db") == 2


def test_a_pod_of_a_resource_that_is_too_large_to_be_read_is_refused():
    asked, sts = _owned_pod()
    body = stored({"volumes": FILLERS["different names"](JSON_BYTES)})
    live = _Live({"VMSingle": body, "StatefulSet": sts})
    (decision,) = _judged(_source(live, watched()), asked)
    assert decision.outcome == "refused"
    assert (
        "VMSingle mon/db is too large: vmguard reads at most 20000 different elements of a list, and one with 77777 has"
        " more" in decision.refused
    )


def test_a_namespace_pays_for_the_size_of_what_is_read_for_it():
    """Reads of a megabyte use up its budget soon; another namespace has its own."""

    async def read():
        live = _Live({"VMSingle": stored({"x": "y" * JSON_BYTES})})
        source = _source(live)
        deadline = asyncio.get_running_loop().time() + 30
        facts = []
        for number in range(30):
            ref = Ref(GROUP, "v1beta1", "VMSingle", "attacker", f"db-{number}")
            facts.append(await source.get(Lookup(ref, fresh=True), deadline))
        victim = await source.get(Lookup(Ref(GROUP, "v1beta1", "VMSingle", "victim", "db"), fresh=True), deadline)
        return [type(fact) for fact in facts], type(victim)

    facts, victim = asyncio.run(read())
    assert facts.count(Found) <= 1 + BUDGET[1] / (JSON_BYTES / FREE_BYTES) + 1
    assert facts[-1] is Unknown
    assert victim is Found
