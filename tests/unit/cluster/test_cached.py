"""Requests for the same object at the same time share one lookup, and each keeps its own deadline.

A stand-in plays the API server and answers when the test lets it, so that requests can be counted exactly.
"""

import asyncio
from types import SimpleNamespace

from webhook.cluster import cached as module
from webhook.cluster.cached import CachedFacts
from webhook.cluster.collections import NAMESPACES, custom
from webhook.cluster.reflector import Reflector
from webhook.facts import Absent, Found, Lookup, Names, Ref, Unknown
from webhook.objects import KubeObject, Metadata
from webhook.policy.custom_resources import GROUP
from webhook.policy.projection import project
from webhook.telemetry.log import Log

SINGLE = Ref(GROUP, "v1beta1", "VMSingle", "mon", "x")


class _Slow:
    """Live facts that come when `answer` is set."""

    def __init__(self):
        self.asked = 0
        self.answer = asyncio.Event()

    async def get(self, ref, deadline, payer=""):
        self.asked += 1
        await self.answer.wait()
        return Absent("live")


def _source(live):
    watching = SimpleNamespace(find=lambda ref: None, of=lambda ref: None, whole_cluster=True)
    return CachedFacts(watching, SimpleNamespace(serves_policies=False, minor=30), live)


def test_three_hundred_pods_of_a_generation_ask_once_and_each_keeps_its_deadline():
    async def burst():
        live = _Slow()
        source = _source(live)
        now = asyncio.get_running_loop().time()
        patient = [asyncio.create_task(source.get(Lookup(SINGLE, "one"), now + 30)) for _ in range(299)]
        hasty = await source.get(Lookup(SINGLE, "one"), now + 0.05)
        live.answer.set()
        return live.asked, hasty, await asyncio.gather(*patient)

    asked, hasty, patient = asyncio.run(burst())
    assert asked == 1
    assert hasty == Unknown("no answer from the API server in time", "live")
    assert set(map(str, patient)) == {str(Absent("live"))}


def test_another_generation_is_read_again():
    """The pending answer for one generation may be older than the resource of the next generation."""

    async def two():
        live = _Slow()
        source = _source(live)
        deadline = asyncio.get_running_loop().time() + 30
        both = [asyncio.create_task(source.get(Lookup(SINGLE, generation), deadline)) for generation in ("one", "two")]
        await asyncio.sleep(0.05)
        live.answer.set()
        await asyncio.gather(*both)
        return live.asked

    assert asyncio.run(two()) == 2


class _There:
    """Live facts that find a resource with more in its spec than decisions read."""

    def __init__(self):
        self.asked = 0

    async def get(self, ref, deadline, payer=""):
        self.asked += 1
        spec = {"useStrictSecurity": True, "image": {"tag": "x" * 1000}}
        return Found(KubeObject(Metadata(name="x", namespace="mon", uid="u", resource_version="5"), spec), "live")


def _watched(live):
    """A source whose watch knows a namespace without resources."""
    reflector = Reflector(None, custom("VMSingle", "v1beta1"), "", _reduced, Log())
    reflector.synced.set()
    reflector._version = "1"

    def find(ref):
        found = reflector.objects.get((ref.namespace, ref.name))
        return (reflector, found) if found else None

    watching = SimpleNamespace(find=find, of=lambda ref: reflector, whole_cluster=True)
    return CachedFacts(watching, SimpleNamespace(serves_policies=False, minor=30), live)


def _reduced(found):
    return KubeObject(found.metadata, project("VMSingle", found.spec))


def test_what_a_look_up_found_is_what_is_kept_of_it():
    """Otherwise a cached decision would refer to the whole object, and the next pod would get a different object."""

    async def twice():
        source = _watched(_There())
        deadline = asyncio.get_running_loop().time() + 30
        return [await source.get(Lookup(SINGLE, "one"), deadline) for _ in range(2)]

    live, cached = asyncio.run(twice())
    assert (live.source, cached.source) == ("live", "cache")
    assert live.object is cached.object
    assert live.object.spec == {"useStrictSecurity": True}


def test_a_fresh_lookup_leaves_no_generation_behind():
    async def asked():
        live = _There()
        source = _watched(live)
        deadline = asyncio.get_running_loop().time() + 30
        for _ in range(3):
            await source.get(Lookup(SINGLE, fresh=True), deadline)
        return live.asked, len(source._read)

    assert asyncio.run(asked()) == (3, 0)


def test_a_namespace_has_a_budget_of_look_ups(monkeypatch):
    monkeypatch.setattr(module, "BUDGET", (0.001, 5.0))

    async def many():
        live = _Slow()
        live.answer.set()
        source = _source(live)
        deadline = asyncio.get_running_loop().time() + 30
        mine = [await source.get(Lookup(SINGLE, str(index)), deadline) for index in range(7)]
        theirs = await source.get(Lookup(Ref(GROUP, "v1beta1", "VMSingle", "other", "x"), "1"), deadline)
        return mine, theirs

    mine, theirs = asyncio.run(many())
    assert [type(fact) for fact in mine] == [Absent] * 5 + [Unknown] * 2
    assert "budget is used up" in mine[-1].reason
    assert theirs == Absent("live")


def test_namespaces_that_the_watch_has_not_seen_pay_together(monkeypatch):
    """A client can invent any number of them."""
    monkeypatch.setattr(module, "BUDGET", (0.001, 5.0))
    seen = Reflector(None, NAMESPACES, "", lambda found: found, Log("error"))
    seen.objects["", "mon"] = KubeObject(Metadata(name="mon"))
    seen.synced.set()

    async def many():
        live = _Slow()
        live.answer.set()
        watching = SimpleNamespace(
            find=lambda ref: None, of=lambda ref: seen if ref.kind == "Namespace" else None, whole_cluster=True
        )
        source = CachedFacts(watching, SimpleNamespace(serves_policies=False, minor=30), live)
        deadline = asyncio.get_running_loop().time() + 30
        refs = [Ref(GROUP, "v1beta1", "VMSingle", f"invented-{number}", "x") for number in range(20)]
        invented = [await source.get(Lookup(ref, "1"), deadline) for ref in refs]
        return invented, await source.get(Lookup(SINGLE, "1"), deadline)

    invented, real = asyncio.run(many())
    assert [type(fact) for fact in invented] == [Absent] * 5 + [Unknown] * 15
    assert real == Absent("live")


class _Policies:
    """Live facts of a cluster that has the policy `there` and no other."""

    async def get(self, ref, deadline, payer=""):
        return Found(KubeObject(Metadata(name=ref.name)), "live") if ref.name == "there" else Absent("live")

    async def names(self, ref, deadline, payer=""):
        return ("there",)


def _with_policies():
    watching = SimpleNamespace(find=lambda ref: None, of=lambda ref: None, whole_cluster=True)
    return CachedFacts(watching, SimpleNamespace(serves_policies=True, minor=24), _Policies())


def test_a_namespace_pays_for_the_policies_that_it_names(monkeypatch):
    monkeypatch.setattr(module, "BUDGET", (0.001, 5.0))

    async def asked():
        source = _with_policies()
        deadline = asyncio.get_running_loop().time() + 30
        greedy = [await source.get(_policy(f"p{number}", "greedy"), deadline) for number in range(4)]
        names = [await source.get(Names(_policy("p").ref, "greedy"), deadline) for _ in range(2)]
        return greedy, names, await source.get(_policy("there", "other"), deadline)

    greedy, names, other = asyncio.run(asked())
    assert [type(fact) for fact in greedy] == [Absent] * 4
    assert names == [("there",), ()], "names are lookups too"
    assert type(other) is Found


def _policy(name, requester=""):
    return Lookup(Ref("policy", "v1beta1", "PodSecurityPolicy", "", name), requester=requester)


def test_a_fresh_lookup_is_never_answered_from_the_cache():
    """A denial reads every fact again: a label that was taken off a namespace no longer denies."""

    async def asked():
        live = _There()
        source = _watched(live)
        remembered = KubeObject(Metadata(name="mon", labels={"vmguard/enforce": "deny"}))
        source._watching.find = lambda ref: (SimpleNamespace(heard=0.0), remembered)
        namespace = Ref("", "v1", "Namespace", "", "mon")
        deadline = asyncio.get_running_loop().time() + 30
        lookups = [Lookup(namespace, "one", "mon"), Lookup(namespace, requester="mon", fresh=True)]
        return [await source.get(lookup, deadline) for lookup in lookups]

    assert [fact.source for fact in asyncio.run(asked())] == ["cache", "live"]
