"""Two installations in one namespace, with names of their own, do not touch each other's objects."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from certs import AUTHORITY_LIFETIME, AUTHORITY_NAME, Authority
from tests.controlplane.api import wait_for
from tests.support.accounts import Account
from tests.support.documented_permissions import grant_documented
from tests.support.egress import egress_of
from tests.support.release import release

NAMES = ("one", "two")


@pytest.fixture(scope="module")
def both(plane, tmp_path_factory):
    """Two installations with one ready replica each, and these; each may use the objects of its own names only."""
    folder = tmp_path_factory.mktemp("both")
    with (
        egress_of(plane) as egress,
        release(plane, egress, folder / "one", service="one") as one,
        release(plane, egress, folder / "two", service="two", namespace=one.namespace) as two,
    ):
        pairs = []
        for installation in (one, two):
            installation.configure()
            account = Account(plane, service_account=(one.namespace, installation.service))
            grant_documented(account, installation)
            server = installation.replica(account.kubeconfig, VMGUARD_LEASE=installation.service)
            pairs.append((installation, server))
        for installation, server in pairs:
            installation.ready(server)
        yield pairs


def test_each_installation_holds_its_own_lease(both, plane):
    holders = set()
    for installation, server in both:
        lease = plane.api.get("coordination.k8s.io/v1", "Lease", installation.service, installation.namespace)
        holder = lease["spec"]["holderIdentity"]
        assert f"[i]leader this one, {holder}" in server.operation("/readyz?verbose")[1]
        metrics = server.operation("/metrics")[1]
        found = re.findall(r'^leader_election_master_status\{name="(.*)"\} 1\.0$', metrics, re.MULTILINE)
        assert found == [installation.service]
        holders.add(holder)
    assert len(holders) == 2
    leases = plane.api.list("coordination.k8s.io/v1", "Lease", both[0][0].namespace)
    assert {each["metadata"]["name"] for each in leases} == set(NAMES)


def test_each_has_its_own_ca_and_the_api_server_calls_both(both):
    (one, _), (two, _) = both
    assert one.state().current != two.state().current
    for installation, server in both:
        assert installation.is_installed()
        wait_for(installation.admits, "a pod to be admitted")
        assert any(line.get("namespace") == installation.pods for line in server.lines())


def test_each_rotates_its_own_ca(both):
    """Both at the same time, and neither has any trouble with permissions on the other's objects."""
    due = {}
    for installation, _ in both:
        next_one = Authority.create(
            AUTHORITY_NAME, now=datetime.now(UTC), lifetime=AUTHORITY_LIFETIME, only=installation.server_name
        )
        due[installation.service] = next_one
        installation.write_state(replace(installation.state(), next=next_one))

    def rotated():
        return all(installation.state().current == due[installation.service] for installation, _ in both)

    wait_for(rotated, "both to sign with their next CA", interval=0.5)
    for installation, server in both:
        wait_for(installation.is_installed, "the bundle")
        wait_for(installation.admits, "a pod to be admitted")
        assert "may not" not in server.operation("/readyz?verbose")[1]
        assert not [line for line in server.lines() if line["level"] == "error"]
