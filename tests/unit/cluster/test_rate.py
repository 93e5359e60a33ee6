"""The rate of requests stays below its limit, and a request that was never sent does not count."""

import asyncio

import pytest

from tests.support.canned_api import canned_api
from tests.support.kubeconfigs import kubeconfig_to
from webhook.cluster.client import UnreachableError, connected
from webhook.cluster.rate import Bucket


def test_a_reservation_that_comes_too_late_takes_nothing_and_one_given_back_is_free():
    bucket = Bucket(2.0, 1.0)
    assert bucket.reserve(0.0, 9.0) == 0.0
    assert bucket.reserve(0.0, 9.0) == 0.5
    assert [bucket.reserve(0.0, 0.9) for _ in range(100)] == [None] * 100
    assert bucket.reserve(0.0, 1.0) == 1.0
    bucket.give_back()
    assert bucket.reserve(0.0, 9.0) == 1.0
    assert bucket.take(10.0)
    bucket.give_back()
    bucket.give_back()
    assert [bucket.take(10.0), bucket.take(10.0)] == [True, False], "never more than a burst"


def test_requests_that_are_given_up_leave_no_debt(tmp_path):
    """A hundred whose caller leaves while they wait, and a hundred that could not be sent in time."""

    async def asked(url):
        async with connected(str(kubeconfig_to(url, tmp_path / "config")), rate=(0.5, 1)) as client:
            now = asyncio.get_running_loop().time()
            await client.get("/x", "application/json", now + 60)
            waiting = [asyncio.create_task(client.get("/x", "application/json", now + 3600)) for _ in range(100)]
            await asyncio.sleep(0)
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)
            for _ in range(100):
                with pytest.raises(UnreachableError, match="VMGUARD_KUBE_API_QPS"):
                    await client.get("/x", "application/json", asyncio.get_running_loop().time() + 0.5)
            return await client.get("/x", "application/json", asyncio.get_running_loop().time() + 30)

    with canned_api(200, "{}") as url:
        assert asyncio.run(asked(url)) == (200, b"{}")
