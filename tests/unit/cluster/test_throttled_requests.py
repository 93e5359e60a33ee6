"""A request that the API server throttles is made again when the API server says so, within its own time."""

import asyncio
import json

import pytest
from aiohttp import web

from webhook.cluster.client import connected


def _kubeconfig(path, port):
    named = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "x", **named}))
    return str(path)


def _asked(folder, answers, seconds):
    """Status and counted requests of a GET; each of `answers` is (status, Retry-After)."""
    counted, left = [], list(answers)

    async def answer(_request):
        status, after = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=status, headers={} if after is None else {"Retry-After": after}, text="{}")

    async def main():
        application = web.Application()
        application.router.add_get("/{tail:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        config = _kubeconfig(folder / "config", port)
        try:
            async with connected(config, (1000, 1000), lambda *what: counted.append(what)) as client:
                deadline = asyncio.get_running_loop().time() + seconds
                return (await client.get("/api/v1/pods", "application/json", deadline))[0]
        finally:
            await runner.cleanup()

    return asyncio.run(main()), [code for _, _, code in counted]


@pytest.mark.parametrize("status", [429, 503])
def test_a_throttled_request_is_repeated_until_it_is_answered(status, tmp_path):
    assert _asked(tmp_path, [(status, "0"), (status, "0"), (200, None)], 60) == (200, [status, status, 200])


@pytest.mark.parametrize("after", [None, "soon", "-1", "", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_an_answer_that_names_no_seconds_is_the_answer(after, tmp_path):
    assert _asked(tmp_path, [(429, after), (200, None)], 60) == (429, [429])


def test_another_error_is_not_repeated(tmp_path):
    assert _asked(tmp_path, [(500, "0"), (200, None)], 60) == (500, [500])


def test_nothing_waits_beyond_its_own_time(tmp_path):
    assert _asked(tmp_path, [(429, "3600"), (200, None)], 60) == (429, [429])


@pytest.mark.slow
def test_a_request_that_is_always_throttled_ends_with_that_answer(tmp_path):
    status, counted = _asked(tmp_path, [(429, "0")], 1)
    assert status == 429
    assert 1 < len(counted) <= 6
