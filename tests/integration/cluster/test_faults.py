"""After any fault between vmguard and the API server, decisions are right and nothing is leaked."""

import itertools
import json
import signal
import stat
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from tests.controlplane.api import wait_for
from tests.controlplane.plane import API_SERVER, control_plane
from tests.controlplane.registration import LABEL, registered
from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, scale
from tests.support.admission_reviews import sibling_review
from tests.support.kubeconfigs import kubeconfig_through
from tests.support.patience import PATIENCE
from tests.support.proxy import proxied
from tests.support.server import free_port, serving_cluster
from tests.support.unharmed import unharmed
from webhook.policy.custom_resources import GROUP

TURNS, PODS = 10, 50
"""The least number of changes and of pods that a minute of cut connections must have met."""


@contextmanager
def behind_proxy(plane, folder, **environment):
    """A server whose way to the API server leads through a proxy."""
    with proxied(plane.port) as proxy:
        path = kubeconfig_through(plane, proxy.port, folder / "proxied.kubeconfig")
        with serving_cluster(folder, path, **STRICT_SECURITY, **environment) as server:
            yield proxy, server


def known_pod(plane, server, namespace):
    """The review of a pod that the server hardens, and knows everything about."""
    review = sibling_review(recreate(VMSINGLE, plane.api, namespace).pod(), namespace)
    wait_for(lambda: "patch" in server.ask("POST", "/mutate", review)[2].get("response", {}), "the first patch")
    return review


@contextmanager
def cut_every_second(proxy):
    """Connections are cut between two pieces or within one, and in between the way is now fast and now slow."""
    over = threading.Event()

    def misbehave():
        for delay, tearing in itertools.cycle(itertools.product((0.0, 0.02, 0.1), (False, True))):
            proxy.delay, proxy.tearing = delay, tearing
            if not tearing:
                proxy.cut()
            if over.wait(0.2):
                return
            proxy.tearing = False
            if over.wait(0.8):
                return

    thread = threading.Thread(target=misbehave)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        proxy.delay, proxy.tearing = 0.0, False


def test_a_minute_of_cut_connections_leaves_no_pod_unhardened_and_none_judged_by_the_past(plane, tmp_path):
    """Pods are made all the time. One resource turns around again and again: each pod made after is judged by it."""
    with (
        behind_proxy(plane, tmp_path) as (proxy, server),
        registered(plane, server.url, Path(server.ca).read_bytes(), "cut"),
    ):
        steady, turning = (plane.namespace(f"cut-{name}", {LABEL: "cut"}) for name in ("steady", "turning"))
        names = {}
        for namespace in (steady, turning):
            made = recreate(VMSINGLE, plane.api, namespace)
            made.pod()
            names[namespace] = made.one("Deployment")["metadata"]["name"]
        scale(plane, steady, names[steady], 10)
        seen, turn = set(), 0
        with unharmed(server), cut_every_second(proxy):
            end = time.monotonic() + 60
            while time.monotonic() < end or turn < TURNS or len(seen) < PODS:
                turn += 1
                assert turn < 100 * TURNS, f"only {len(seen)} pods were made"
                pods = plane.api.list("v1", "Pod", steady)
                assert all(pod["spec"]["securityContext"].get("runAsNonRoot") is True for pod in pods)
                seen |= {pod["metadata"]["uid"] for pod in pods}
                plane.api.request("DELETE", plane.api.path("v1", "Pod", steady))
                assert (_turned(plane, turning, names[turning], turn)["spec"]["securityContext"] != {}) is (
                    turn % 2 == 1
                ), f"turn {turn}"


def _turned(plane, namespace, name, turn):
    """The first pod made after the resource was changed; strict on odd turns."""
    change = {"spec": {"useStrictSecurity": turn % 2 == 1}}
    plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "t", change, namespace)
    template = {"metadata": {"annotations": {"turn": str(turn)}}}
    plane.api.patch("apps/v1", "Deployment", name, {"spec": {"template": template}}, namespace)

    def made():
        pods = plane.api.list("v1", "Pod", namespace)
        return next((pod for pod in pods if pod["metadata"].get("annotations", {}).get("turn") == str(turn)), None)

    return wait_for(made, f"the pod of turn {turn}")


def test_what_etcd_has_compacted_away_is_listed_anew_and_served_meanwhile(tmp_path):
    """Without a cache of its own the API server answers 410 as soon as etcd has dropped the version of a watch."""
    with control_plane(flags={API_SERVER: ["--watch-cache=false"]}) as plane:
        plane.install_resources()
        namespace = plane.namespace("compacted")
        with behind_proxy(plane, tmp_path) as (proxy, server):
            review = known_pod(plane, server, namespace)

            def patched():
                status, _, body = server.ask("POST", "/mutate?timeout=1s", review)
                assert status == 200
                assert "VMSingle=found/cache" in body["response"]["auditAnnotations"]["facts"]
                return "patch" in body["response"]

            with unharmed(server):
                proxy.refusing = True
                proxy.cut()
                changed = {"spec": {"useStrictSecurity": False}}
                plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "t", changed, namespace)
                other = {"apiVersion": f"{GROUP}/v1beta1", "kind": "VMSingle", "metadata": {"name": "other"}}
                plane.compact(plane.api.create(other, namespace)["metadata"]["resourceVersion"])
                assert patched(), "by what was known before"
                proxy.refusing = False
                wait_for(lambda: not patched(), "the change")
                assert (
                    f'vmguard_cache_objects{{namespace="",resource="vmsingles.{GROUP}"}} 2.0'
                    in (server.operation("/metrics")[1])
                )
            told = {line.get("reason", "") for line in server.lines() if line["message"] == "not watching"}
            assert any("HTTP 410" in reason for reason in told)


def test_a_slow_api_server_costs_unknown_pods_their_deadline_and_known_ones_nothing(plane, namespace, tmp_path):
    with behind_proxy(plane, tmp_path) as (proxy, server):
        review = known_pod(plane, server, namespace)
        with unharmed(server):
            proxy.delay = 5.0
            assert "patch" in server.ask("POST", "/mutate?timeout=1s", review)[2]["response"]
            review["request"]["object"]["metadata"]["labels"]["pod-template-hash"] = "unseen"
            assert "patch" in server.ask("POST", "/mutate?timeout=1s", review)[2]["response"], "from the last state"
            review["request"]["object"]["metadata"]["ownerReferences"][0]["name"] = "never-seen"
            status, _, body = server.ask("POST", "/mutate?timeout=1s", review)
            assert status == 500
            assert "no answer from the API server in time" in body["message"]
            proxy.delay = 0.0


def test_a_rollout_over_the_deaths_of_both_sides_leaves_no_pod_unhardened(tmp_path):
    """Of 600 pods: the API server is killed among the first and comes back, and vmguard is among the rest of them."""
    environment = {"VMGUARD_LISTEN": f"127.0.0.1:{free_port()}", **STRICT_SECURITY}
    with control_plane() as plane, ExitStack() as stack:
        plane.install_resources()
        server = stack.enter_context(serving_cluster(tmp_path, plane.kubeconfig(), **environment))
        stack.enter_context(registered(plane, server.url, Path(server.ca).read_bytes(), "death"))
        namespace = plane.namespace("rollout", {LABEL: "death"})
        made = recreate(VMSINGLE, plane.api, namespace)
        made.pod()
        name = made.one("Deployment")["metadata"]["name"]

        def grow(replicas):
            plane.api.patch("apps/v1", "Deployment", name, {"spec": {"replicas": replicas}}, namespace)

        def pods():
            return plane.api.list("v1", "Pod", namespace)

        def stored():
            """How many pods there are once no review is under way any more."""
            before = len(pods())
            time.sleep(2)
            return len(pods()) == before and before

        grow(150)
        wait_for(lambda: len(pods()) > 10, "the first pods")
        plane.stop_api_server()
        time.sleep(1)
        plane.start_api_server()
        scale(plane, namespace, name, 150)
        grow(600)
        wait_for(lambda: len(pods()) > 160, "some of the pods")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        left = wait_for(stored, "what was admitted to be stored")
        time.sleep(2)
        assert len(pods()) == left < 600, "failurePolicy Fail: without vmguard no pod is made"
        stack.enter_context(serving_cluster(tmp_path, plane.kubeconfig(), **environment))
        for pod in scale(plane, namespace, name, 600):
            assert pod["spec"]["securityContext"].get("runAsNonRoot") is True


PLUGIN = """#!/bin/sh
echo called >> "$0.calls"
cat "$0.answer"
"""


def test_an_exec_plugin_runs_again_when_its_credentials_are_refused(plane, namespace, tmp_path):
    """A token that expires (here: that never was good) is replaced by what the plugin says next."""
    plugin = tmp_path / "plugin"
    plugin.write_text(PLUGIN)
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    account = plane.api.request(
        "POST",
        f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}

    def says(token):
        Path(f"{plugin}.answer").write_text(json.dumps({**credential, "status": {"token": token}}))

    config = yaml.safe_load(plane.kubeconfig().read_text())
    how = {"apiVersion": credential["apiVersion"], "command": str(plugin), "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": how}
    (tmp_path / "config").write_text(json.dumps(config))
    says("expired")

    import asyncio  # noqa: PLC0415

    from webhook.cluster import client as module  # noqa: PLC0415

    async def ask():
        async with module.connected(str(tmp_path / "config")) as client:
            deadline = asyncio.get_running_loop().time() + PATIENCE
            first = await client.get("/api/v1/namespaces/x/pods", "application/json", deadline)
            says(account["status"]["token"])
            client._loaded = -module.LOAD_AGAIN
            second = await client.get("/api/v1/namespaces/x/pods", "application/json", deadline)
            return first[0], second[0], second[1]

    first, second, body = asyncio.run(ask())
    assert (first, second) == (401, 403), "known by its new token, though it may not list pods"
    assert f"system:serviceaccount:{namespace}:default" in json.loads(body)["message"]
    assert Path(f"{plugin}.calls").read_text().count("called") == 2
