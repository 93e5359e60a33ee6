"""The rate of requests stays below its limit, and a request that was never sent does not count."""

import asyncio

import pytest

from tests.support.canned_api import canned_api
from tests.support.kubeconfigs import kubeconfig_to
from webhook.cluster.client import UnreachableError, connected
from webhook.rate import Bucket


def test_a_token_that_is_given_back_can_be_taken_again_and_none_is_more_than_a_burst():
    bucket = Bucket(2.0, 1.0)
    assert [bucket.seconds(0.0), bucket.take(0.0)] == [0.0, True]
    assert [bucket.seconds(0.0), bucket.take(0.0)] == [0.5, False]
    bucket.give_back()
    assert [bucket.take(0.0), bucket.take(0.0)] == [True, False]
    bucket.give_back()
    bucket.give_back()
    assert [bucket.take(10.0), bucket.take(10.0)] == [True, False]


@pytest.mark.slow
def test_requests_that_are_given_up_leave_no_debt(tmp_path):
    """A hundred whose caller leaves while they wait, and a hundred that could not be sent in time."""

    async def asked(url):
        async with connected(str(kubeconfig_to(url, tmp_path / "config")), rate=(0.2, 1)) as client:
            now = asyncio.get_running_loop().time()
            await client.get("/x", "application/json", now + 60)
            waiting = [asyncio.create_task(client.get("/x", "application/json", now + 3600)) for _ in range(100)]
            await asyncio.sleep(0)
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)
            soon = asyncio.get_running_loop().time() + 0.1
            late = [client.get("/x", "application/json", soon) for _ in range(100)]
            for error in await asyncio.gather(*late, return_exceptions=True):
                assert isinstance(error, UnreachableError)
                assert "VMGUARD_KUBE_API_QPS" in str(error)
            return await client.get("/x", "application/json", asyncio.get_running_loop().time() + 30)

    with canned_api(200, "{}") as url:
        assert asyncio.run(asked(url)) == (200, b"{}")
