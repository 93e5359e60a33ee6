"""A leader that is killed between two of its writes: the next one finishes them, and pods are admitted."""

import pytest

from tests.controlplane.api import wait_for
from tests.support.command import vmguard
from tests.support.release import KINDS
from tests.support.reverse_proxy import reverse_proxied

MUTATING, VALIDATING = (f"/{kind.lower()}s/" for kind in KINDS)
BOTH = "webhookconfigurations/"


def test_a_leader_killed_after_its_first_write_of_all_is_replaced(installation, tmp_path):
    """The Secret has the first CA, no configuration has its bundle."""
    with reverse_proxied(installation.plane, BOTH, tmp_path) as proxy:
        proxy.code, proxy.method = 0, "PATCH"
        first = installation.replica(proxy.kubeconfig)
        wait_for(proxy.reached.is_set, "the first bundle to be written")
        first.process.kill()
        first.process.wait()
    written = installation.state()
    assert written.current
    assert installation.bundles() == {""}
    second = installation.replica()
    installation.ready(second)
    assert installation.is_installed()
    assert installation.state() == written
    wait_for(installation.admits, "a pod to be admitted")


@pytest.fixture
def killed(installation, tmp_path):
    """`killed(method, path)`: begin a rotation, and kill the leader at such a request; the next CA and another replica.

    The request is held on its way and never done. All the time pods are admitted.
    """

    def kill(method, path):
        with reverse_proxied(installation.plane, path, tmp_path) as proxy:
            first = installation.replica(proxy.kubeconfig)
            installation.ready(first)
            assert 'leader_election_master_status{name="vmguard"} 1.0' in first.operation("/metrics")[1]
            second = installation.replica()
            installation.ready(second)
            before = installation.state()
            proxy.code, proxy.method = 0, method
            config = str(installation.plane.kubeconfig())
            names = {"KUBECONFIG": config, "VMGUARD_WEBHOOK_CONFIGURATION": installation.name}
            status, out, _ = vmguard("certs", "rotate", **names)
            assert status == 0, out
            until(installation, proxy.reached.is_set, "the request")
            first.process.kill()
            first.process.wait()
        state = installation.state()
        assert state.current == before.current
        return state.next, second

    return kill


def until(installation, probe, what):
    """Wait for something; not one pod is refused meanwhile."""

    def both():
        assert installation.admits(), installation.refusal
        return probe()

    wait_for(both, what)


@pytest.mark.parametrize(
    ("path", "has_next"),
    [(MUTATING, (False, False)), (VALIDATING, (True, False))],
    ids=["no configuration written", "one configuration written"],
)
def test_a_leader_killed_before_a_configuration_was_written_costs_no_pod(installation, killed, path, has_next):
    following, _ = killed("PATCH", path)
    for kind, is_written in zip(KINDS, has_next, strict=True):
        assert all((following.certificate in bundle) == is_written for bundle in installation.bundles_in(kind))
    until(installation, installation.is_installed, "the second leader to write the bundle")
    assert following.certificate in installation.state().trusted


def test_a_leader_killed_before_the_next_ca_was_the_current_one_costs_no_pod(installation, killed):
    following, second = killed("PUT", "/secrets/")
    assert all(following.certificate in bundle for kind in KINDS for bundle in installation.bundles_in(kind))
    until(installation, lambda: installation.state().current == following, "the second leader to finish the rotation")
    until(installation, lambda: installation.shows_leaf_of(second, following), "its certificate of the next CA")
    assert installation.is_installed()
