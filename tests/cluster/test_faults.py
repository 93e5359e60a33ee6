"""Faults between vmguard and the API server: after each, no wrong decision, and everything is as it was."""

import json
import re
import signal
import stat
import threading
import time
from pathlib import Path

import pytest
import yaml

from tests.cluster.test_admission import SINGLE, STRICT
from tests.cluster.test_bursts import _scale
from tests.cluster.test_caches import review_of
from tests.controlplane.api import wait_for
from tests.controlplane.plane import control_plane
from tests.controlplane.registration import LABEL, registered
from tests.controlplane.stand_in_operator import recreate
from tests.support.proxy import proxied
from tests.support.server import serving_cluster
from webhook.policy.resources import GROUP

pytestmark = pytest.mark.slow


def through(plane, proxy, folder):
    """The administrator's kubeconfig, leading through a proxy."""
    config = yaml.safe_load(plane.kubeconfig().read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    path = folder / "proxied.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def resident(server):
    """Resident memory of a server process, MiB."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


def test_watches_that_are_cut_every_second_lose_nothing(plane, tmp_path):
    """While every connection is cut again and again, changes arrive, decisions stay right and memory stays."""
    namespace = plane.namespace("cut", {LABEL: "cut"})
    with (
        proxied(plane.port) as proxy,
        serving_cluster(tmp_path, through(plane, proxy, tmp_path), **STRICT) as server,
    ):
        pod = recreate(SINGLE, plane.api, namespace).pod()
        review = review_of(pod, namespace)
        wait_for(lambda: "patch" in server.ask("POST", "/mutate", review)[2].get("response", {}), "the first patch")
        before = resident(server)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            proxy.cut()
            time.sleep(1)
            answer = server.ask("POST", "/mutate?timeout=5s", review)[2]["response"]
            assert "patch" in answer
        plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "t", {"spec": {"useStrictSecurity": False}}, namespace)
        wait_for(lambda: "patch" not in server.ask("POST", "/mutate", review)[2]["response"], "the change", 30)
        wait_for(lambda: "[!]" not in server.operation("/readyz?verbose")[1], "all watches to be well", 30)
        assert resident(server) < before + 30
        assert not [line for line in server.lines() if line["level"] == "error"]


def test_a_slow_api_server_costs_unknown_pods_their_deadline_and_known_ones_nothing(plane, tmp_path):
    namespace = plane.namespace("slow", {LABEL: "slow"})
    with (
        proxied(plane.port) as proxy,
        serving_cluster(tmp_path, through(plane, proxy, tmp_path), **STRICT) as server,
    ):
        pod = recreate(SINGLE, plane.api, namespace).pod()
        review = review_of(pod, namespace)
        wait_for(lambda: "patch" in server.ask("POST", "/mutate", review)[2].get("response", {}), "the first patch")
        proxy.delay = 5.0
        assert "patch" in server.ask("POST", "/mutate?timeout=1s", review)[2]["response"]
        review["request"]["object"]["metadata"]["labels"]["pod-template-hash"] = "unseen"
        assert "patch" in server.ask("POST", "/mutate?timeout=1s", review)[2]["response"], "from the last state"
        review["request"]["object"]["metadata"]["ownerReferences"][0]["name"] = "never-seen"
        status, _, body = server.ask("POST", "/mutate?timeout=1s", review)
        assert status == 500
        assert "no answer from the API server in time" in body["message"]


def test_a_rollout_over_the_api_servers_death_leaves_no_pod_unhardened(tmp_path):
    """The API server is killed in the middle of 300 pods and comes back; vmguard is killed and comes back too."""
    with control_plane() as plane:
        plane.install_resources()
        with serving_cluster(tmp_path, plane.kubeconfig(), **STRICT) as server:
            ca = Path(server.ca).read_bytes()
            with registered(plane, server.url, ca, "death"):
                namespace = plane.namespace("rollout", {LABEL: "death"})
                made = recreate(SINGLE, plane.api, namespace)
                made.pod()
                name = made.one("Deployment")["metadata"]["name"]
                killer = threading.Timer(1.0, plane.stop_api_server)
                killer.start()
                plane.api.patch("apps/v1", "Deployment", name, {"spec": {"replicas": 300}}, namespace)
                killer.join()
                time.sleep(1)
                plane.start_api_server()
                pods = _scale(plane, namespace, name, 300)
                assert all(pod["spec"]["securityContext"].get("runAsNonRoot") is True for pod in pods)
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
                plane.api.patch("apps/v1", "Deployment", name, {"spec": {"replicas": 310}}, namespace)
                time.sleep(2)
                pods = plane.api.list("v1", "Pod", namespace)
                assert len(pods) == 300, "failurePolicy Fail: without vmguard no pod is made"


PLUGIN = """#!/bin/sh
echo called >> "$0.calls"
cat "$0.answer"
"""


def test_an_exec_plugins_credentials_are_asked_for_again_when_they_are_no_longer_taken(plane, namespace, tmp_path):
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
            deadline = asyncio.get_running_loop().time() + 20
            first = await client.get("/api/v1/namespaces/x/pods", "application/json", deadline)
            says(account["status"]["token"])
            client._loaded = -module.LOAD_AGAIN
            second = await client.get("/api/v1/namespaces/x/pods", "application/json", deadline)
            return first[0], second[0], second[1]

    first, second, body = asyncio.run(ask())
    assert (first, second) == (401, 403), "known by its new token, though it may not list pods"
    assert f"system:serviceaccount:{namespace}:default" in json.loads(body)["message"]
    assert Path(f"{plugin}.calls").read_text().count("called") == 2
