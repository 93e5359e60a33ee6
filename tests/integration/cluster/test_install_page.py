"""The commands of docs/install.md do what the page says, in its order, from the first apply to the uninstall."""

import os
import re

import pytest

from tests.controlplane.api import wait_for
from tests.controlplane.build import tool
from tests.controlplane.fixtures import had
from tests.controlplane.versions import HELM_4, NEWEST
from tests.support.documentation import as_printed, blocks
from tests.support.installed import cluster
from tests.support.server import ROOT

PLACE = "--namespace vmguard-system"
PAGE = ROOT / "docs" / "install.md"

NOT_RUN = {
    "make image": "tests/integration/image runs it",
    "docker push": "it needs a registry",
    "docker buildx imagetools": "it needs a registry",
    "skopeo": "it needs a registry",
    "kubectl logs": "the stand-in for the kubelet serves no logs",
    "helm test": "the stand-in for the kubelet runs the pods of vmguard only",
}
"""Commands of the page that are not run, by their start, with the reason."""


@pytest.fixture(scope="module")
def here(pytestconfig, can_have_control_plane):
    made = cluster(NEWEST, VMGUARD_SHUTDOWN_DELAY="5")  # the uninstall as printed waits for the end of each replica
    yield had(pytestconfig, made.__enter__)
    made.__exit__(None, None, None)


def test_the_page_works_as_printed(here, tmp_path):
    """A pod is created after each section; what becomes of it is what the section says."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "deploy").symlink_to(ROOT / "deploy")
    pods = {namespace: here.pod(namespace) for namespace in ("shop", "other", "monitoring")}
    programs = os.pathsep.join(str(each.parent) for each in (here.plane.programs["kubectl"], tool(HELM_4)))
    ran = []

    def run(command):
        if any(command.startswith(each) for each in NOT_RUN):
            return
        done = as_printed(command, programs, folder, KUBECONFIG=str(here.plane.kubeconfig()), HOME=str(tmp_path))
        assert done.returncode == 0, f"{command}: {done.stderr}"
        ran.append(command)

    def becomes(namespace, *, hardened):
        wait_for(
            lambda: here.created(pods[namespace], namespace) and here.hardened(pods[namespace], namespace) is hardened,
            f"a pod in {namespace} to be {'hardened' if hardened else 'left alone'} after {ran[-1]}",
        )

    after = {
        "Try it": {"shop": False, "other": False},
        "kubectl label namespace shop vmguard.io/mode=enforce": {"shop": True, "other": False},
        "kubectl label namespace shop vmguard.io/mode-": {"shop": False, "other": False},
        "Enforce everywhere": {"shop": True, "other": True},
        "kubectl label namespace shop vmguard.io/exempt=true": {"shop": False, "other": True},
        "kubectl label namespace shop vmguard.io/exempt-": {"shop": True, "other": True},
        "Update": {"shop": True, "other": True},
        "Uninstall": {"shop": False, "other": False},
        f"helm upgrade vmguard deploy/chart {PLACE} --reset-then-reuse-values --set mode=enforce": {"shop": True},
        f"helm upgrade vmguard deploy/chart {PLACE} --reset-then-reuse-values --set mode=audit": {"shop": False},
        f"helm uninstall vmguard {PLACE}": {"shop": False},
    }
    seen = []
    for block in blocks(PAGE.read_text()):
        if block.file:
            (folder / block.file).write_text(block.text)
        if block.language != "sh":
            continue
        for command in block.commands:
            run(command)
        for step in (block.heading, *block.commands):
            seen.append(step)
            for namespace, hardened in after.get(step, {}).items():
                becomes(namespace, hardened=hardened)
    assert after.keys() <= set(seen), "each step of the table is on the page"
    assert all(any(command.startswith(each) for command in seen) for each in NOT_RUN)
    labels = here.kubectl("get", "clusterrole", "-o", "name")
    assert re.search("victoriametrics-vmagent-viewer", labels)


def test_each_command_of_the_page_is_in_a_block_that_is_run():
    """Indented blocks show what is not run, so no command of the page is in one."""
    assert [block.text for block in blocks(PAGE.read_text()) if block.language not in {"sh", "yaml"}] == []
