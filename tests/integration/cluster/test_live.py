"""Live facts: four answers that are never mixed up, each as a real API server gives it.

What a healthy API server cannot be brought to say (throttled, failing, cut, nonsense) a few canned answers say.
"""

import asyncio
import json

import pytest
import yaml

from tests.support.canned_api import canned_api
from tests.support.kubeconfigs import kubeconfig_to
from tests.support.live_facts import looked_up
from webhook.cluster.client import ATTEMPTS, NoClusterError, connected
from webhook.cluster.discovery import Discovery
from webhook.cluster.live import LiveFacts
from webhook.facts import Absent, Found, NotServed, Ref, Unknown
from webhook.policy.custom_resources import GROUP
from webhook.telemetry.log import Log

SINGLE = Ref(GROUP, "v1beta1", "VMSingle", "mon", "x")


def test_found_absent_and_not_served_are_three_answers(plane, namespace):
    single = {"apiVersion": f"{GROUP}/v1beta1", "kind": "VMSingle", "metadata": {"name": "x"}, "spec": {"a": 1}}
    uid = plane.api.create(single, namespace)["metadata"]["uid"]
    found, absent, elsewhere, served_in_another, not_served, impossible = looked_up(
        plane.kubeconfig(),
        Ref(GROUP, "v1beta1", "VMSingle", namespace, "x"),
        Ref(GROUP, "v1beta1", "VMSingle", namespace, "y"),
        Ref("apps", "v1", "Deployment", "no-such-namespace", "y"),
        Ref(GROUP, "v9", "VMSingle", namespace, "x"),
        Ref("policy", "v1beta1", "PodSecurityPolicy", "", "x"),
        Ref("policy", "v1beta1", "PodSecurityPolicy", "", "../../namespaces/default"),
    )
    assert isinstance(found, Found)
    assert (found.object.metadata.uid, found.object.spec, found.source) == (uid, {"a": 1}, "live")
    assert (absent, elsewhere) == (Absent("live"), Absent("live"))
    assert isinstance(served_in_another, Found), "the table's version is asked for, whatever the reference says"
    assert (not_served, impossible) == (NotServed("live"), NotServed("live"))


def test_a_name_that_no_object_can_have_is_absent_and_leads_nowhere_else(plane):
    (fact,) = looked_up(plane.kubeconfig(), Ref("", "v1", "Namespace", "", "default/pods/x"))
    assert fact == Absent("live")


def test_names_are_those_that_exist(plane, namespace):
    (names,) = looked_up(plane.kubeconfig(), Ref("", "v1", "Namespace", "", ""), names=True)
    assert {"default", namespace} <= set(names)


def test_forbidden_is_unknown_and_names_the_permission(plane, namespace):
    (fact,) = looked_up(plane.kubeconfig("bob", ("staff",)), Ref(GROUP, "v1beta1", "VMSingle", namespace, "x"))
    assert isinstance(fact, Unknown)
    assert fact.reason.startswith(f"may not get vmsingles.{GROUP} in namespace {namespace}: HTTP 403")
    assert 'User "bob" cannot get resource "vmsingles"' in fact.reason
    assert fact.reason.endswith(
        f"; add to vmguard's role in namespace {namespace} the rule "
        f'{{apiGroups: ["{GROUP}"], resources: ["vmsingles"], verbs: ["get"]}}'
    )


def test_a_wrong_token_is_unknown(plane, tmp_path):
    config = yaml.safe_load(plane.kubeconfig().read_text())
    config["users"][0]["user"] = {"token": "wrong"}
    (tmp_path / "config").write_text(json.dumps(config))
    (fact,) = looked_up(tmp_path / "config", SINGLE)
    assert fact == Unknown("HTTP 401 from the API server: Unauthorized", "live")


STATUS = {"kind": "Status", "message": "not now"}


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


def test_no_answer_and_a_late_one_are_unknown(tmp_path):
    with canned_api(200, "{}", seconds=3) as url:
        (late,) = looked_up(kubeconfig_to(url, tmp_path / "config"), SINGLE, seconds=0.2)
    (refused,) = looked_up(kubeconfig_to(url, tmp_path / "config"), SINGLE)
    assert late == Unknown("no answer from the API server in time", "live")
    assert isinstance(refused, Unknown)
    assert "cannot be reached" in refused.reason


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
                deadline = asyncio.get_running_loop().time() + 20
                return await LiveFacts(client, Discovery(client, Log("error"))).get(SINGLE, deadline)

    assert type(asyncio.run(asked())) is kind
    assert len(connections) <= 2 * ATTEMPTS, "the library itself makes a request again, once"


@pytest.mark.parametrize("text", [None, "", "x: [", "kind: Config", "- 1"])
def test_a_kubeconfig_that_cannot_be_used_is_told_in_one_line(text, tmp_path):
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)

    async def connect():
        async with connected(str(path)):
            pass

    with pytest.raises(NoClusterError, match="no cluster to serve") as told:
        asyncio.run(connect())
    assert str(told.value) != ": no cluster to serve"
