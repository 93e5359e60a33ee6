"""Turns at the API server are shared fairly: a tenant with many requests delays another by one turn."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from webhook.cluster import fair_queue as module
from webhook.cluster.fair_queue import OWN, FairQueue, NoTurnError
from webhook.rate import Bucket

FOREVER = 3600.0


def _order(requests, hold=0):
    """The order in which requests of these namespaces get their turns, when all wait before the first turn comes."""

    async def run():
        queue = FairQueue(Bucket(0.001, 0.0))
        order = []

        async def one(namespace):
            async with queue.turn(namespace, asyncio.get_running_loop().time() + FOREVER):
                order.append(namespace)
                for _ in range(hold):
                    await asyncio.sleep(0)

        tasks = [asyncio.create_task(one(namespace)) for namespace in requests]
        await asyncio.sleep(0)
        assert not order
        queue._bucket = Bucket(1e9, 1e9)
        queue._grant()
        await asyncio.gather(*tasks)
        assert not queue._waiting
        assert not queue._under_way
        return order

    return asyncio.run(run())


def test_a_victim_waits_for_one_turn_of_an_attacker():
    order = _order([*["attacker"] * 90, "victim", "other"])
    assert order[:3] == ["attacker", "victim", "other"]
    assert order.count("attacker") == 90


def test_own_requests_go_first():
    order = _order([*["attacker"] * 50, OWN, OWN])
    assert order[:3] == [OWN, OWN, "attacker"]


@given(st.lists(st.sampled_from(["a", "b", "c", OWN]), max_size=60), st.integers(0, 3))
@settings(max_examples=examples(30), deadline=None)
def test_every_request_gets_its_turn_and_none_gets_two(requests, hold):
    assert sorted(_order(requests, hold)) == sorted(requests)


def test_slow_answers_for_one_namespace_leave_room_for_the_others():
    """An attacker whose requests never end holds a share of the places, and a victim still gets one."""

    async def run():
        queue = FairQueue(Bucket(1e6, 1e6))
        release = asyncio.Event()
        until = asyncio.get_running_loop().time() + FOREVER

        async def stuck():
            async with queue.turn("attacker", until):
                await release.wait()

        attackers = [asyncio.create_task(stuck()) for _ in range(module.MOST_UNDER_WAY)]
        await asyncio.sleep(0)
        assert queue._under_way["attacker"] == module.MOST_OF_ONE
        async with queue.turn("victim", until):
            pass
        release.set()
        await asyncio.gather(*attackers)
        return dict(queue._under_way), len(queue._waiting)

    assert asyncio.run(run()) == ({}, 0)


def test_the_waiting_requests_of_one_namespace_and_of_all_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING_OF_ONE", 2)
    monkeypatch.setattr(module, "MOST_WAITING", 5)

    async def run():
        queue = FairQueue(Bucket(0.001, 0.0))
        until = asyncio.get_running_loop().time() + FOREVER

        async def one(namespace):
            async with queue.turn(namespace, until):
                pass

        waiting = [asyncio.create_task(one("a")) for _ in range(module.MOST_WAITING_OF_ONE)]
        await asyncio.sleep(0)
        with pytest.raises(NoTurnError, match="requests of namespace a wait"):
            await one("a")
        waiting += [asyncio.create_task(one(namespace)) for namespace in "bcd"]
        await asyncio.sleep(0)
        with pytest.raises(NoTurnError, match="VMGUARD_KUBE_API_QPS"):
            await one("b")
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    asyncio.run(run())


def test_when_the_queue_is_full_the_namespace_with_most_requests_loses_its_last(monkeypatch):
    """Attackers with several namespaces fill the queue; a victim's request and vmguard's own still wait their turns."""
    monkeypatch.setattr(module, "MOST_WAITING", 20)

    async def run():
        queue = FairQueue(Bucket(0.001, 0.0))
        until = asyncio.get_running_loop().time() + FOREVER
        served = []

        async def one(namespace, number):
            async with queue.turn(namespace, until):
                served.append((namespace, number))

        names = [(f"attacker-{number % 4}", number) for number in range(20)]
        tasks = {each: asyncio.create_task(one(*each)) for each in names}
        await asyncio.sleep(0)
        for each in (("victim", 0), (OWN, 0)):
            tasks[each] = asyncio.create_task(one(*each))
            await asyncio.sleep(0)
        queue._bucket = Bucket(1e9, 1e9)
        queue._grant()
        ended = await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert not queue._waiting
        assert not queue._under_way
        return served, [each for each, error in zip(tasks, ended, strict=True) if error]

    served, refused = asyncio.run(run())
    assert {("victim", 0), (OWN, 0)} <= set(served)
    assert refused == [("attacker-0", 16), ("attacker-1", 17)]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=30), st.integers(0, 5))
@settings(max_examples=examples(50), deadline=None)
def test_requests_that_are_given_up_take_no_turn(requests, moment):
    """Whatever is cancelled, before or after its turn came, the others get theirs and nothing stays behind."""

    async def run():
        queue = FairQueue(Bucket(20_000.0, 2))
        until = asyncio.get_running_loop().time() + FOREVER
        served = []

        async def one(index, namespace):
            async with queue.turn(namespace, until):
                served.append(index)
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(one(index, namespace)) for index, (namespace, _) in enumerate(requests)]
        for _ in range(moment):
            await asyncio.sleep(0)
        for task, (_, cancelled) in zip(tasks, requests, strict=True):
            if cancelled:
                task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        assert not queue._under_way
        left = {index for index, (_, cancelled) in enumerate(requests) if not cancelled}
        assert left <= set(served)

    asyncio.run(run())


def test_a_request_whose_deadline_passes_gets_no_turn_and_leaves_none_taken():
    async def run():
        queue = FairQueue(Bucket(0.001, 1))
        now = asyncio.get_running_loop().time()
        async with queue.turn("a", now + FOREVER):
            pass
        with pytest.raises(NoTurnError, match="in time"):
            async with queue.turn("a", now + 0.05):
                pass
        return dict(queue._under_way)

    assert asyncio.run(run()) == {}
