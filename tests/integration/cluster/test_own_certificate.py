"""Without cert-manager: vmguard makes its CA, signs its leaves, installs the bundle and repairs all of it."""

import asyncio
import base64
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from certs import AUTHORITY_LIFETIME, AUTHORITY_NAME, Authority, Rotation
from tests.controlplane.api import wait_for
from tests.support.accounts import Account
from tests.support.certificates import signed_by
from tests.support.clock import Clock
from tests.support.documented_permissions import grant_documented
from tests.support.egress import egress_of
from tests.support.release import ADMISSION, KINDS, SECRET, release
from webhook.cluster.client import connected
from webhook.server.own_certificate import Installation, OwnCertificate
from webhook.server.webhook_trust import WebhookTrust
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

PHASES = ("next", "both", "changed")


@pytest.fixture(scope="module")
def running(plane, egress, tmp_path_factory):
    """An installation with a replica, and that replica; tests leave it ready."""
    with release(plane, egress, tmp_path_factory.mktemp("running")) as made:
        made.configure()
        server = made.replica()
        made.ready(server)
        yield made, server


def authority(installation, now=None):
    now = now or datetime.now(UTC)
    return Authority.create(AUTHORITY_NAME, now=now, lifetime=AUTHORITY_LIFETIME, only=installation.server_name)


def errors(server):
    return [line for line in server.lines() if line["level"] == "error"]


def logged(server, message):
    """Wait for a log line; the last one with that message."""

    def found():
        return [line for line in server.lines() if line["message"] == message]

    return wait_for(found, message)[-1]


def test_the_first_start_installs_a_bundle_and_pods_are_admitted(installation):
    assert not installation.admits()
    server = installation.replica()
    installation.ready(server)
    assert installation.is_installed()
    wait_for(installation.admits, "a pod to be admitted")
    assert not errors(server)
    metrics = server.operation("/metrics")[1]
    for kind in KINDS:
        assert f'vmguard_webhook_ca_bundle_ok{{configuration="{kind}"}} 1.0' in metrics
    assert server.metric("vmguard_ca_certificate_expiry_timestamp_seconds") > datetime.now(UTC).timestamp()
    assert server.operation("/livez") == (200, "ok")


def test_the_same_on_kubernetes_1_24(plane_124, tmp_path):
    with egress_of(plane_124) as egress, release(plane_124, egress, tmp_path) as installation:
        installation.configure()
        installation.ready(installation.replica())
        assert installation.is_installed()
        wait_for(installation.admits, "a pod to be admitted")


def test_two_leaders_do_no_harm(installation):
    """Both write at any time, from the first start to the next CA, and end with one state that all trust."""

    async def play():
        config = str(installation.plane.kubeconfig())
        async with connected(config) as one, connected(config) as other:
            leaders = [_leader(installation, client) for client in (one, other)]
            shown = [None, None]

            async def turns(number):
                for _ in range(12):
                    shown[number] = await leaders[number].read(shown[number], datetime.now(UTC))
                    await asyncio.sleep(random.random() / 20)  # noqa: S311 - any order

            await asyncio.gather(turns(0), turns(1))
            state = await asyncio.to_thread(installation.state)
            due = replace(state, next=authority(installation))
            await asyncio.to_thread(installation.write_state, due)
            await asyncio.gather(turns(0), turns(1))
            assert await asyncio.to_thread(installation.state) == due
            return shown

    shown = asyncio.run(play())
    assert installation.is_installed()
    bundle = installation.state().bundle
    for leaf in shown:
        assert leaf.why_unusable(now=datetime.now(UTC), names=[installation.server_name], authority_pem=bundle) is None


def test_configurations_that_are_applied_later_get_their_bundle(plane, egress, tmp_path):
    """As Argo CD and Flux apply them: after the Deployment is healthy."""
    with release(plane, egress, tmp_path) as installation:
        server = installation.replica()
        installation.ready(server)
        installation.configure()
        installation.installed()
        wait_for(installation.admits, "a pod to be admitted")
        assert server.operation("/readyz") == (200, "ok")


def test_a_bundle_that_is_edited_or_wiped_is_repaired(running):
    installation, server = running
    bundles = installation.bundles()
    other = authority(installation)
    for damage in ("edited", "wiped"):
        for manifest in installation.manifests():
            if damage == "wiped":
                done = installation.plane.kubectl("replace", "-f", "-", stdin=json.dumps(manifest))
                assert done.returncode == 0, done.stderr
            else:
                entry = {"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": _base64(other)}
                installation.plane.api.patch(
                    ADMISSION, manifest["kind"], installation.name, [entry], how="application/json-patch+json"
                )
        wait_for(lambda: installation.bundles() == bundles, f"the bundle that was {damage} to be repaired")
        assert server.operation("/readyz") == (200, "ok")
        wait_for(installation.admits, "a pod to be admitted")
    logged(server, "CA bundle wrong")
    logged(server, "CA bundle right again")


def test_an_installers_apply_that_renames_and_adds_entries_never_conflicts(running):
    installation, server = running
    before = len(errors(server))
    for turn in ("first", "second"):
        for manifest in installation.manifests():
            added = {**manifest["webhooks"][-1], "name": f"{turn}.vmguard.io"}
            manifest["webhooks"] = [added, *manifest["webhooks"]]
            manifest["webhooks"][-1]["name"] = f"renamed-{turn}.vmguard.io"
            done = installation.plane.kubectl(
                "apply", "--server-side", "--force-conflicts=false", "--field-manager=helm", "-f", "-",
                stdin=json.dumps(manifest),
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        installation.installed()
    for kind in KINDS:
        names = {entry["name"] for entry in installation.plane.api.get(ADMISSION, kind, installation.name)["webhooks"]}
        assert {"second.vmguard.io", "renamed-second.vmguard.io"} <= names
        assert not {"first.vmguard.io", "renamed-first.vmguard.io"} & names
    assert {line["message"] for line in errors(server)[before:]} <= {"CA bundle wrong"}


@pytest.mark.parametrize("damage", ["emptied", "tls.crt", "tls.key", "ca.crt"])
def test_a_damaged_secret_is_healed_from_memory(running, damage):
    installation, server = running
    before, shown = installation.state(), installation.shown(server)
    installation.write_data({} if damage == "emptied" else {**installation.data(), damage: b"no PEM"})
    wait_for(lambda: installation.state().current == before.current, "the Secret to be healed")
    wait_for(installation.is_installed, "the bundle")
    assert installation.shown(server) == shown
    assert installation.admits()


def test_an_emptied_secret_without_memory_gets_a_new_ca_and_the_installed_one_stays_trusted(installation):
    first = installation.replica()
    installation.ready(first)
    lost = installation.state().current.certificate
    first.process.kill()
    first.process.wait()
    installation.write_data({})
    second = installation.replica()
    installation.ready(second)
    installation.installed()
    state = installation.state()
    assert state.current.certificate != lost
    assert lost in state.trusted
    wait_for(installation.admits, "a pod to be admitted")


def test_without_its_secret_vmguard_serves_on_and_goes_on_when_it_is_back(running):
    installation, server = running
    before = installation.state().current
    installation.plane.api.delete("v1", "Secret", SECRET, installation.namespace)
    line = logged(server, "certificate needs attention")
    command = f"kubectl create secret generic {SECRET} --namespace {installation.namespace}"
    assert command in line["reason"]
    assert installation.admits()
    assert server.operation("/readyz") == (200, "ok")
    done = installation.plane.kubectl(*command.split()[1:])
    assert done.returncode == 0, done.stderr
    wait_for(lambda: installation.state().current == before, "the CA to be in the Secret again")
    wait_for(lambda: "[!]certificate" not in server.operation("/readyz?verbose")[1], "the trouble to end")


def test_a_ca_that_expired_while_all_were_off_is_replaced_at_once(installation):
    long_ago = datetime.now(UTC) - 400 * timedelta(days=1)
    expired = Rotation(authority(installation, long_ago))
    installation.write_state(expired)
    server = installation.replica()
    installation.ready(server)
    assert installation.state().current != expired.current
    wait_for(installation.admits, "a pod to be admitted")


def test_replicas_change_to_the_next_ca_after_both_were_installed_for_a_minute(installation):
    servers = [installation.replica(), installation.replica()]
    installation.ready(*servers)
    wait_for(installation.admits, "the API server to have learnt of the bundle")
    before = installation.state()
    due = replace(before, next=authority(installation))
    installation.write_state(due)

    def changed():
        assert installation.admits()
        return installation.state().current == due.next

    wait_for(changed, "the next CA to sign", interval=0.5)
    written = [line["time"] for line in (*servers[0].lines(), *servers[1].lines()) if "CA bundle" in line["message"]]
    switched = [
        line["time"] for line in (*servers[0].lines(), *servers[1].lines()) if "old CA" in line.get("phase", "")
    ]
    waited = datetime.fromisoformat(min(switched)) - datetime.fromisoformat(max(written))
    assert waited >= timedelta(seconds=60)

    def all_changed():
        assert installation.admits()
        return all(signed_by(installation.shown(server), due.next.certificate) for server in servers)

    wait_for(all_changed, "both replicas to show leaves of the next CA", interval=0.5)
    assert installation.is_installed()
    assert before.current.certificate in installation.state().trusted


@pytest.mark.parametrize("phase", PHASES)
def test_another_leader_continues_after_one_that_was_killed_in_any_phase(installation, phase):
    """The state of the phase is in the Secret, and what the dead leader had not done is done by the next one."""
    first = installation.replica()
    installation.ready(first)
    before = installation.state()
    next_one = authority(installation)
    state = {
        "next": Rotation(before.current, next_one),
        "both": Rotation(before.current, next_one),
        "changed": Rotation(next_one, None, (before.current.certificate,), datetime.now(UTC) + timedelta(hours=26)),
    }[phase]
    if phase == "next":  # killed after the Secret was written, before the configurations were
        first.process.kill()
        first.process.wait()
    installation.write_state(state)
    if phase != "next":
        wait_for(installation.is_installed, "the bundle with both")
        first.process.kill()
        first.process.wait()
    second = installation.replica()
    installation.ready(second)
    installation.installed()
    assert set(installation.state().trusted) == {before.current.certificate, next_one.certificate}
    wait_for(installation.admits, "a pod to be admitted")


def test_the_documented_permissions_suffice(installation):
    """Those of docs/certificates.md, besides what vmguard needs anyway."""
    account = Account(installation.plane)
    grant_documented(account, installation)
    server = installation.replica(account.kubeconfig)
    installation.ready(server)
    assert installation.is_installed()
    current = installation.state().current
    installation.write_data({})
    wait_for(lambda: installation.state().current == current, "the Secret to be healed")
    assert "may not" not in server.operation("/readyz?verbose")[1]


def test_with_watch_namespace_the_ca_of_the_secret_signs_and_nothing_is_written(installation):
    state = Rotation(authority(installation))
    installation.write_state(state)
    installation.install(state.bundle)
    server = installation.replica(WATCH_NAMESPACE=installation.pods)
    installation.ready(server)
    wait_for(installation.admits, "a pod to be admitted")
    installation.write_data({})
    installation.install(b"")
    wait_for(lambda: "[!]ca-bundles" in server.operation("/readyz?verbose")[1], "the mismatch")
    assert installation.bundles() == {""}
    assert installation.data() == {}


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_by_an_hour_costs_no_pod(installation, tmp_path, hours):
    clock = Clock(tmp_path)
    clock.move(f"{hours:+d}h")
    server = installation.replica(**clock.environment)
    installation.ready(server)
    wait_for(installation.admits, "a pod to be admitted")


def test_after_a_jump_of_eight_days_there_is_a_new_leaf_though_no_timer_ran_out(installation, tmp_path):
    """As on a machine that was suspended: the server's clock was eight days behind, and is set right."""
    clock = Clock(tmp_path)
    clock.move("-8d")
    server = installation.replica(**clock.environment)
    installation.ready(server)
    assert not installation.admits(), "its leaf expired a week ago"
    clock.move("+0d")
    wait_for(installation.admits, "a pod to be admitted")
    assert installation.shown(server).not_valid_after_utc > datetime.now(UTC)


def _leader(installation, client):
    service = f"{installation.namespace}/vmguard"
    log, metrics = Log("error"), Metrics()
    trust = WebhookTrust(client, installation.name, service, log, metrics)
    return OwnCertificate(client, Installation(installation.namespace, "vmguard"), trust, lambda: True, log, metrics)


def _base64(one):
    return base64.b64encode(one.certificate_pem).decode()
