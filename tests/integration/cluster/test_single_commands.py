"""The commands that the pages of docs/ print work in an installed cluster, as printed."""

import pytest
import trustme

from tests.controlplane.api import wait_for
from tests.controlplane.fixtures import had
from tests.controlplane.versions import NEWEST
from tests.support.documentation import as_printed, blocks
from tests.support.installed import NAMESPACE, cluster
from tests.support.overlays import kustomization
from tests.support.server import ROOT

ELSEWHERE = {
    "An administrator's CA": "tests/integration/cluster/test_certs_command.py",
    "Rotate the CA now": "tests/integration/cluster/test_certs_command.py",
    "Rotate it by hand": "tests/integration/cluster/test_certs_command.py",
}
"""Sections whose commands another test runs."""


NOT_RUN = ("kubectl port-forward", "curl")
"""Commands that are not run: the stand-in for the kubelet forwards no ports."""


@pytest.fixture(scope="module")
def here(pytestconfig, can_have_control_plane, tmp_path_factory):
    """A cluster where vmguard enforces in all namespaces."""
    made = cluster(NEWEST)
    here = had(pytestconfig, made.__enter__)
    here.shop = here.pod("shop")
    here.plane.namespace("monitoring")
    folder = kustomization(
        tmp_path_factory.mktemp("mine"),
        resources=["deploy/overlays/default"],
        components=["deploy/components/enforce"],
    )
    here.kubectl("apply", "--server-side", "-k", str(folder))
    here.rolled_out()
    wait_for(lambda: here.hardened(here.shop, "shop"), "vmguard to be called")
    yield here
    made.__exit__(None, None, None)


def _delete_secret(here):
    here.kubectl("delete", "secret", "vmguard-ca", "-n", NAMESPACE)


def _has_data(here):
    secret = "v1", "Secret", "vmguard-ca", NAMESPACE
    wait_for(lambda: here.plane.api.get(*secret).get("data"), "the CA to be written again")


def _exempt(here):
    wait_for(lambda: not here.hardened(here.shop, "shop"), "the namespace to be exempt")


def _serving_secret(here):
    """What cert-manager would have made."""
    made = {"metadata": {"name": "vmguard-serving"}, "stringData": {"ca.crt": trustme.CA().cert_pem.bytes().decode()}}
    here.plane.api.create({"apiVersion": "v1", "kind": "Secret", **made}, NAMESPACE)


BEFORE = {
    "kubectl create secret generic vmguard-ca": _delete_secret,
    "kubectl get secret vmguard-serving": _serving_secret,
}

AFTER = {
    "kubectl create secret generic vmguard-ca": _has_data,
    "kubectl label namespace shop vmguard.io/exempt=true": _exempt,
}
"""What has to be so for a command, and what it brings about, by its start."""


PAGES = ("certificates", "commands", "security", "enforcement", "events", "troubleshooting")


@pytest.mark.parametrize("page", [f"{name}.md" for name in PAGES])
def test_the_commands_of_a_page_work_in_their_order(here, tmp_path, page):
    found = [
        command
        for block in blocks((ROOT / "docs" / page).read_text())
        if block.language == "sh" and block.heading not in ELSEWHERE
        for command in block.commands
    ]
    assert found
    for command in (each for each in found if not each.startswith(NOT_RUN)):
        for start, prepare in BEFORE.items():
            if command.startswith(start):
                prepare(here)
        programs = str(here.plane.programs["kubectl"].parent)
        done = as_printed(command, programs, tmp_path, KUBECONFIG=str(here.plane.kubeconfig()))
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        for start, check in AFTER.items():
            if command.startswith(start):
                check(here)
