"""A control plane starts, keeps to itself, and leaves nothing behind."""

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.folder import temporary_folder
from tests.controlplane.plane import control_plane
from tests.controlplane.process import FailedError
from tests.support.patience import PATIENCE
from tests.support.programs import started
from webhook.policy.custom_resources import GROUP

pytestmark = [pytest.mark.usefixtures("can_have_control_plane")]

_DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web"}]},
        },
    },
}


def _exists(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_side_by_side_know_nothing_of_each_other_and_end_whole():
    with ExitStack() as stack:
        one, other = (stack.enter_context(control_plane()) for _ in range(2))
        one.namespace("mine")
        assert one.api.request("GET", "/readyz") == "ok"
        assert other.api.find("v1", "Namespace", "mine") is None
        pids = [*one.pids().values(), *other.pids().values()]
        assert len(pids) == 6
        folders = [one.folder, other.folder]
    assert not any(map(_exists, pids))
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_all_processes_end_with_the_process_that_started_them(number):
    program = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background with it ignored
from tests.controlplane.folder import temporary_folder
from tests.controlplane.plane import control_plane
with control_plane() as plane:
    print(plane.folder, *plane.pids().values(), flush=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", program]
    with started(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        folder, *pids = owner.stdout.readline().split()
        assert len(pids) == 3
        assert all(map(_exists, pids))
        owner.send_signal(number)
        owner.wait(PATIENCE)
    wait_for(lambda: not any(map(_exists, pids)), "the programs' end")
    with temporary_folder():  # the next one removes what the killed one could not
        assert not Path(folder).exists()


def test_what_does_not_start_says_why():
    with (
        pytest.raises(FailedError, match="unknown flag: --no-such-flag"),
        control_plane(flags={"kube-apiserver": ["--no-such-flag"]}),
    ):
        pass


def test_the_api_server_comes_back_on_its_port_with_all_it_knew():
    with control_plane() as plane:
        plane.namespace("before")
        plane.stop_api_server()
        plane.start_api_server()
        assert plane.api.get("v1", "Namespace", "before")["status"]["phase"] == "Active"
        assert plane.namespace("after") == "after"
        assert plane.namespace("after") == "after-again-0"


def test_flags_reach_their_program():
    flags = {"kube-apiserver": ["--disable-admission-plugins=ServiceAccount"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    pod["spec"] = {"containers": [{"name": "c", "image": "i"}]}
    with control_plane(flags=flags) as plane:
        assert "volumes" not in plane.api.create(pod, "default")["spec"]


def test_a_deployment_becomes_available_on_the_node(plane_with_nodes, namespace):
    api = plane_with_nodes.api
    api.create(_DEPLOYMENT, namespace)
    status = wait_for(
        lambda: (s := api.get("apps/v1", "Deployment", "web", namespace)["status"]).get("availableReplicas") == 3 and s,
        "three replicas",
    )
    assert status["readyReplicas"] == 3


def test_a_user_may_do_what_rbac_lets_them(plane, namespace):
    with pytest.raises(ApiError, match='User "nobody" cannot list resource "pods"'):
        plane.api_as("nobody").list("v1", "Pod", namespace)
    said = plane.kubectl("auth", "whoami", user="nobody")
    assert "nobody" in said.stdout
    assert plane.kubectl("get", "pods", "-n", namespace, user="nobody").returncode == 1


def test_the_audit_log_names_who_wrote_what(plane, namespace):
    thing = {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "VMSingle",
        "metadata": {"name": "db"},
        "spec": {"any": {"x": 1}},
    }
    assert plane.api.create(thing, namespace)["spec"] == thing["spec"]
    events = [
        e for e in plane.audit() if e["objectRef"].get("namespace") == namespace and e["objectRef"].get("name") == "db"
    ]
    assert [(e["verb"], e["user"]["username"], e["objectRef"]["resource"]) for e in events] == [
        ("create", "admin", "vmsingles")
    ]


def test_kubectl_applies_what_comes_on_standard_input(plane, namespace):
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"
    done = plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)
    assert (done.stdout, done.returncode) == ("configmap/c created\n", 0)
