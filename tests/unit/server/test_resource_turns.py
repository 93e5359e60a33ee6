"""A turn of the event loop decides one resource at the most, and pods do not wait for others."""

import asyncio
import itertools
import json

from tests.support.asgi import JSON, admission
from tests.support.sample_pods import resource, vmsingle
from webhook.admission.admission_review import review_of
from webhook.server.http import HTTPResponse
from webhook.server.resource_turns import ResourceTurns


def test_resources_take_turns_by_namespace_and_pods_come_between_them():
    """`pod` stands for what the event loop finds whenever it looks for new requests."""
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


def test_a_resource_that_gives_up_leaves_its_turn_to_the_next():
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
