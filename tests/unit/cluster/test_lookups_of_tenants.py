"""A tenant with many new pods does not delay the lookups for another tenant's first pod. Only counts are asserted."""

import asyncio

import pytest

from tests.support.canned_api import canned_api
from tests.support.kubeconfigs import kubeconfig_to
from tests.support.patience import PATIENCE
from webhook.cluster.client import UnreachableError, connected
from webhook.cluster.collections import JSON

pytestmark = pytest.mark.slow

RATE = (200.0, 1)
"""Requests a second, and at once: slow enough that all that are sent below wait for the first."""

FEW = 20
"""Requests of the attacker before one of the victim; first come, first served, it is all of them."""


def _path(namespace, number):
    return f"/apis/apps/v1/namespaces/{namespace}/replicasets/r{number}"


def _before_the_victim(path, attacks, lookups=1):
    """How many requests for the attacker the API server gets before the last of the victim's, which come later.

    `attacks` are the attacker's requests, all of which wait; of those beyond a bound some are refused.
    """
    seen = []

    async def run(url):
        async with connected(str(kubeconfig_to(url, path / "config")), RATE) as client:

            async def look_up(namespace, number):
                deadline = asyncio.get_running_loop().time() + PATIENCE
                await client.get(_path(namespace, number), JSON, deadline, namespace)

            tasks = [asyncio.create_task(look_up("attacker", number)) for number in range(attacks)]
            await asyncio.sleep(0)
            for number in range(lookups):
                await look_up("victim", number)
            refused = 0
            for task in tasks:
                try:
                    await task
                except UnreachableError:
                    refused += 1
            return refused

    with canned_api(200, "{}", seen=seen) as url:
        refused = asyncio.run(run(url))
    last = max(index for index, each in enumerate(seen) if "/victim/" in each)
    return last + 1 - lookups, refused


def test_a_few_requests_of_the_attacker_go_before_the_victims_and_not_all_of_them(tmp_path):
    before, refused = _before_the_victim(tmp_path, 100)
    assert refused == 0
    assert before <= FEW


def test_each_lookup_of_the_victims_pod_waits_for_a_few(tmp_path):
    before, _ = _before_the_victim(tmp_path, 100, lookups=3)
    assert before <= 2 * FEW


def test_more_requests_of_the_attacker_change_nothing_and_some_are_refused(tmp_path):
    before, refused = _before_the_victim(tmp_path, 1000)
    assert refused > 0
    assert before <= FEW
