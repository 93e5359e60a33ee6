"""A turn of the event loop decides at most one resource, and pods do not wait for others."""

import asyncio
import itertools
import json

from tests.support.asgi import JSON, admission
from tests.support.patience import PATIENCE
from tests.support.sample_pods import resource, vmsingle
from webhook.admission.admission_review import review_of
from webhook.facts import Absent
from webhook.server import resource_turns
from webhook.server.http import HTTPResponse
from webhook.server.resource_turns import FactsInTurn, ResourceTurns


def test_resources_take_turns_by_namespace_and_pods_come_between_them():
    """`pod` is a request that the event loop finds when it reads new requests."""
    order = []

    async def resource(turns, namespace):
        if not turns.take():
            await turns.turn(namespace)
        order.append(namespace)

    async def pods():
        while True:
            order.append("pod")
            await asyncio.sleep(0)

    async def run():
        turns = ResourceTurns()
        tasks = [asyncio.create_task(resource(turns, "attacker")) for _ in range(50)]
        tasks.append(asyncio.create_task(resource(turns, "victim")))
        coming = asyncio.create_task(pods())
        await asyncio.gather(*tasks)
        coming.cancel()

    asyncio.run(run())
    resources = [each for each in order if each != "pod"]
    assert resources.count("attacker") == 50
    assert "victim" in resources[:3]
    assert not [pair for pair in itertools.pairwise(order) if "pod" not in pair]


def test_a_resource_that_gives_up_leaves_its_turn_to_the_next(monkeypatch):
    monkeypatch.setattr(resource_turns, "_SHORT", 3600.0)  # else a busy machine brings a pause

    async def run():
        turns = ResourceTurns()
        assert turns.take()
        first, second = (asyncio.create_task(turns.turn("a")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert turns.take()

    asyncio.run(run())


def _review(thing, namespace):
    return review_of(thing, uid="u", namespace=namespace, name=thing["metadata"]["name"])


def test_pods_are_answered_at_once_while_resources_wait_for_their_turns():
    """All requests come in the same turn of the event loop; one resource is decided in it, and every pod."""
    pod, objects = vmsingle()
    app = admission(objects)
    scope = {"path": "/validate", "method": "POST", "query_string": b"", "headers": list(JSON)}

    async def run():
        begun = [app.app.begin(scope, _review(resource("VMSingle", f"r{n}"), "attacker")) for n in range(20)]
        pods = [app.app.begin(scope, _review(pod, "mon")) for _ in range(20)]
        assert [isinstance(each, HTTPResponse) for each in begun] == [True, *[False] * 19]
        assert all(isinstance(each, HTTPResponse) for each in pods)
        return [begun[0], *[await each for each in begun[1:]], *pods]

    answers = asyncio.run(run())
    assert {answer.code for answer in answers} == {200}
    assert all(json.loads(answer.body)["response"]["allowed"] for answer in answers)


class Slow:
    """Every fact must be looked up, and all lookups are answered at the same time."""

    minor = 30
    labels_suffice = False

    def __init__(self):
        self.may = asyncio.Event()

    def cached(self, lookup):
        return None

    async def get(self, lookup, deadline):
        await self.may.wait()
        return Absent("live")


def test_decisions_continue_in_turn_after_lookups_that_are_answered_together():
    """A resource with an owner needs a lookup; what costs time comes after it."""
    order = []

    async def decide(facts, name):
        for _ in range(2):
            await facts.get(None, 0.0)
            order.append(name)

    async def pods():
        while True:
            order.append("pod")
            await asyncio.sleep(0)

    async def run():
        source, turns = Slow(), ResourceTurns()
        names = [*["attacker"] * 20, "victim"]
        tasks = [asyncio.create_task(decide(FactsInTurn(source, turns, name), name)) for name in names]
        coming = asyncio.create_task(pods())
        await asyncio.sleep(0)
        source.may.set()
        await asyncio.gather(*tasks)
        coming.cancel()

    asyncio.run(run())
    assert [each for each in order if each != "pod"].index("victim") <= 2
    assert order.count("attacker") == 40
    assert not [pair for pair in itertools.pairwise(order) if "pod" not in pair]


def test_a_resource_with_an_owner_is_answered_after_its_turns():
    owned = resource("VMSingle", owner=resource("VMDistributed", "d"))
    app = admission([])
    app.app._source = source = Slow()

    async def run():
        asked = [asyncio.create_task(app.answer("/validate", _review(owned, "mon"))) for _ in range(5)]
        await asyncio.sleep(0)
        source.may.set()
        return [await each for each in asked]

    assert all(answer.json()["response"]["allowed"] for answer in asyncio.run(run()))


def test_turns_begin_anew_in_another_event_loop():
    """A turn that was taken when its loop ended is never given back."""
    turns = ResourceTurns()

    async def taken():
        return turns.take()

    async def waited():
        await asyncio.wait_for(turns.turn("mon"), PATIENCE)
        return True

    assert asyncio.run(taken())
    assert asyncio.run(waited())
    assert asyncio.run(taken())
