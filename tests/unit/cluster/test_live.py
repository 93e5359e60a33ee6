"""Facts that are looked up live: what a healthy API server never answers is unknown, with the reason."""

import asyncio
import json

import pytest

from tests.support.canned_api import canned_api
from tests.support.kubeconfigs import kubeconfig_to
from tests.support.live_facts import looked_up
from tests.support.patience import PATIENCE
from webhook.cluster.client import ATTEMPTS, connected
from webhook.cluster.discovery import Discovery
from webhook.cluster.live import LiveFacts
from webhook.facts import Found, Ref, Unknown
from webhook.policy.custom_resources import GROUP
from webhook.telemetry.log import Log

SINGLE = Ref(GROUP, "v1beta1", "VMSingle", "mon", "x")
STATUS = {"kind": "Status", "message": "not now"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "body", "reason"),
    [
        (429, json.dumps(STATUS), "HTTP 429 from the API server: not now"),
        (500, "x", "HTTP 500 from the API server"),
        (503, json.dumps(STATUS), "HTTP 503 from the API server: not now"),
        (200, "[]", "cannot be read"),
        (200, '{"metadata":{"name":"other","namespace":"mon"}}', "another object than VMSingle mon/x"),
        (200, '{"metadata":{"name":"x","namespace":"other"}}', "another object than VMSingle mon/x"),
        (200, '{"spec":', "cannot be read"),
        (302, "", "HTTP 302"),
    ],
)
def test_every_other_answer_is_unknown_with_its_reason(code, body, reason, tmp_path):
    with canned_api(code, body) as url:
        (fact,) = looked_up(kubeconfig_to(url, tmp_path / "config"), SINGLE)
    assert isinstance(fact, Unknown)
    assert reason in fact.reason


@pytest.mark.slow
def test_no_answer_and_a_late_one_are_unknown(tmp_path):
    with canned_api(200, "{}", seconds=3) as url:
        (late,) = looked_up(kubeconfig_to(url, tmp_path / "config"), SINGLE, seconds=0.2)
    (refused,) = looked_up(kubeconfig_to(url, tmp_path / "config"), SINGLE)
    assert late == Unknown("no answer from the API server in time", "live")
    assert isinstance(refused, Unknown)
    assert "cannot be reached" in refused.reason


@pytest.mark.slow
@pytest.mark.parametrize("piece", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"], ids=["cut", "torn"])
@pytest.mark.parametrize(("breaks", "kind"), [(2, Found), (99, Unknown)])
def test_a_look_up_whose_connection_breaks_is_made_again_a_few_times(piece, breaks, kind, tmp_path):
    """One that was given up is answered from what was seen last, which may be older than the pod."""
    connections = []

    async def answer(reader, writer):
        connections.append(await reader.readuntil(b"\r\n\r\n"))
        body = b'{"metadata":{"name":"x","namespace":"mon"}}'
        whole = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        writer.write(piece if len(connections) <= breaks else whole)
        await writer.drain()
        writer.close()

    async def asked():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with connected(str(kubeconfig_to(url, tmp_path / "config"))) as client:
                deadline = asyncio.get_running_loop().time() + PATIENCE
                return await LiveFacts(client, Discovery(client, Log("error"))).get(SINGLE, deadline)

    assert type(asyncio.run(asked())) is kind
    assert len(connections) <= 2 * ATTEMPTS, "the library itself makes a request again, once"
