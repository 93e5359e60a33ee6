"""`vmguard certs` on a real API server: what it reports, and rotations that refuse no pod."""

import base64
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs import AUTHORITY_LIFETIME, AUTHORITY_NAME, SETTLED, Authority, DirectoryStore, Rotation, ensure
from tests.controlplane.api import wait_for
from tests.support.accounts import granted
from tests.support.command import vmguard
from tests.support.documentation import as_printed, shell_lines
from tests.support.patience import PATIENCE
from tests.support.release import KINDS, SECRET, release

PAGE = (Path(__file__).parents[3] / "docs" / "certificates.md").read_text()


@pytest.fixture(scope="module")
def idle(plane, egress, tmp_path_factory):
    """An installation with a CA and its bundle, and no replica, so that nothing repairs what tests do."""
    with release(plane, egress, tmp_path_factory.mktemp("idle")) as made:
        made.configure()
        yield made


@pytest.fixture
def healthy(idle):
    """The same, as it should be."""
    state = Rotation(authority(idle))
    if idle.plane.api.find("v1", "Secret", SECRET, idle.namespace) is None:
        idle.restore_secret()
    idle.write_state(state)
    idle.install(state.bundle)
    return idle, state


def authority(installation, now=None, days=AUTHORITY_LIFETIME.days):
    now = now or datetime.now(UTC)
    return Authority.create(AUTHORITY_NAME, now=now, lifetime=timedelta(days=days), only=installation.server_name)


def certs(installation, *arguments, kubeconfig=None, cwd=None, patience=PATIENCE, **environment):
    config = str(kubeconfig or installation.plane.kubeconfig())
    names = {"KUBECONFIG": config, "VMGUARD_WEBHOOK_CONFIGURATION": installation.name}
    return vmguard("certs", *arguments, cwd=cwd, patience=patience, **{**names, **environment})


def report(installation, *arguments, **more):
    """The exit status and the report for programs."""
    status, out, _ = certs(installation, "status", "--output", "json", *arguments, **more)
    return status, json.loads(out)


def while_pods_are_created(installation, work):
    """What some work returns; not one pod is refused meanwhile."""
    created = 0
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not future.done():
            assert installation.admits(), f"after {created} pods: {installation.refusal}"
            created += 1
            time.sleep(0.05)
    assert created
    return future.result()


def test_status_of_a_running_installation_is_well_and_finds_the_namespace(installation):
    installation.ready(installation.replica())
    wait_for(installation.is_installed, "the bundle")
    status, found = report(installation)
    assert status == 0, found
    assert (found["ok"], found["phase"], found["problems"]) == (True, "none", [])
    assert found["place"] == f"Secret {installation.namespace}/{SECRET}"
    assert found["ca"]["serial"] == f"{installation.state().current.certificate.serial_number:x}"
    assert {each["kind"] for each in found["configurations"]} == set(KINDS)
    text = certs(installation, "status")[1]
    assert text.endswith("All is well.\n")
    assert found["ca"]["keyId"][:8] in text


def test_status_names_each_entry_that_does_not_trust_the_ca_and_what_to_do(healthy):
    idle, state = healthy
    assert report(idle)[0] == 0
    for bundle, what in ((b"", "its caBundle is missing"), (authority(idle).certificate_pem, "does not trust the CA")):
        idle.install(bundle)
        status, found = report(idle)
        entries = [entry for each in found["configurations"] for entry in each["entries"]]
        assert status == 1
        assert all(what in entry["problem"] for entry in entries)
        assert len(found["problems"]) == len(found["configurations"])
        assert all(any(entry["name"] in problem for problem in found["problems"]) for entry in entries)
    idle.install(state.bundle)
    assert report(idle)[0] == 0


def test_status_says_which_ca_is_next_and_which_is_old(healthy):
    idle, state = healthy
    both = replace(state, next=authority(idle))
    idle.write_state(both)
    status, found = report(idle)
    assert (status, found["phase"]) == (0, "installing")
    idle.install(both.bundle)
    assert report(idle)[1]["phase"] == "waiting"
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=26)
    idle.write_state(Rotation(both.next, None, (state.current.certificate,), until))
    status, found = report(idle)
    assert (status, found["phase"]) == (0, "retiring")
    assert datetime.fromisoformat(found["oldUntil"]) == until
    assert [each["serial"] for each in found["old"]] == [f"{state.current.certificate.serial_number:x}"]


def test_status_of_a_deleted_secret_has_the_command_that_restores_it(healthy):
    idle, _ = healthy
    idle.plane.api.delete("v1", "Secret", SECRET, idle.namespace)
    status, found = report(idle)
    assert status == 1
    (command,) = re.findall(r"kubectl [^`]+", found["problems"][0])
    done = idle.plane.kubectl(*command.split()[1:])
    assert done.returncode == 0, done.stderr
    assert "has no CA" in report(idle)[1]["problems"][0]


def test_a_missing_permission_is_named_and_the_rest_is_reported(healthy, tmp_path):
    idle, _ = healthy
    rule = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"]}
    kubeconfig = granted(idle.plane, "reads-one-configuration", [{**rule, "verbs": ["get"]}])
    status, found = report(idle, kubeconfig=kubeconfig)
    assert status == 2
    assert not found["complete"]
    secret, configuration = found["unreadable"]
    assert f"may not get secrets in namespace {idle.namespace}" in secret
    assert "may not get validatingwebhookconfigurations.admissionregistration.k8s.io in the cluster" in configuration
    mutating, validating = found["configurations"]
    assert mutating["entries"]
    assert not validating["entries"]
    (tmp_path / "ca.crt").write_bytes(authority(idle).certificate_pem)
    for command in (("rotate", "--wait"), ("trust", "ca.crt")):
        status, _, err = certs(idle, *command, kubeconfig=kubeconfig, cwd=tmp_path)
        assert status == 2
        assert "may not get" in err


def test_status_compares_files_with_the_bundles(healthy, tmp_path):
    idle, _ = healthy
    ensure(DirectoryStore(tmp_path), (idle.server_name,), now=datetime.now(UTC))
    idle.install((tmp_path / "ca.crt").read_bytes())
    assert report(idle, "--cert-dir", str(tmp_path))[0] == 0
    status, found = report(idle, VMGUARD_CERT_DIR=str(tmp_path))
    assert (status, found["source"], found["place"]) == (0, "files", str(tmp_path))
    idle.install(authority(idle).certificate_pem)
    status, found = report(idle, "--cert-dir", str(tmp_path))
    assert status == 1
    assert "does not trust the certificate in tls.crt" in found["problems"][0]


def test_without_a_cluster_there_is_one_line_and_exit_2(tmp_path):
    for target in (("status",), ("rotate",), ("trust", str(tmp_path / "no-file"))):
        status, out, err = vmguard("certs", *target, "--kubeconfig", "nofile", cwd=tmp_path)
        assert (status, out) == (2, "")
        assert "no such file" in err.lower()
        assert err.count("\n") == 1


def test_rotate_is_refused_while_one_is_running_and_where_there_is_no_ca(healthy):
    idle, state = healthy
    status, out, _ = certs(idle, "rotate")
    assert status == 0
    assert "signs with it" in out
    stored = idle.state()
    assert (stored.current, stored.next is None) == (state.current, False)
    status, _, err = certs(idle, "rotate")
    assert status == 1
    assert err.startswith("No rotation began. One is running")
    assert idle.state() == stored
    idle.write_data({})
    status, _, err = certs(idle, "rotate")
    assert status == 1
    assert "has no CA that is valid now" in err
    assert idle.data() == {}
    status, _, err = certs(idle, "rotate", WATCH_NAMESPACE=idle.pods)
    assert status == 1
    assert "docs/certificates.md" in err


def test_a_wait_without_a_leader_ends_and_says_what_is_missing(healthy):
    idle, _ = healthy
    status, out, err = certs(idle, "rotate", "--wait", "--timeout", "1")
    assert status == 1
    assert "signs with it" in out
    assert err.startswith("The wait ended after 1 seconds. Waiting for the leader: MutatingWebhookConfiguration")


def test_trust_writes_the_certificates_of_its_files_into_every_entry_that_calls_vmguard(healthy, tmp_path):
    """Each certificate once, and nothing else that is in a file."""
    idle, state = healthy
    first, second = tmp_path / "first.pem", tmp_path / "second.pem"
    other = authority(idle)
    first.write_bytes(state.current.certificate_pem + state.current.key_pem)
    second.write_bytes(other.certificate_pem + state.current.certificate_pem)
    status, out, _ = certs(idle, "trust", first, second)
    assert status == 0
    assert all(f"{kind} {idle.name}: " in out for kind in KINDS)
    assert idle.bundles() == {base64.b64encode(state.current.certificate_pem + other.certificate_pem).decode()}
    status, out, _ = certs(idle, "trust", first, second)
    assert status == 0
    assert out.count(": 0 of ") == len(KINDS)
    status, _, err = certs(idle, "trust", first, "--service", "another")
    assert status == 1
    assert "has no entry that calls the Service" in err
    status, _, err = certs(idle, "trust", first, "--webhook-configuration", "absent")
    assert status == 1
    assert "MutatingWebhookConfiguration absent does not exist" in err
    second.write_bytes(other.key_pem)
    status, _, err = certs(idle, "trust", second)
    assert status == 2
    assert "cannot be read as certificates" in err


def test_rotate_removes_the_old_ca_without_refused_pods(installation):
    servers = [installation.replica(), installation.replica()]
    installation.ready(*servers)
    before = installation.state()
    patience = PATIENCE + SETTLED.total_seconds()

    def forget():
        return certs(installation, "rotate", "--forget-old", patience=patience)

    status, out, _ = while_pods_are_created(installation, forget)
    assert status == 0, out
    after = installation.state()
    assert after == Rotation(after.current)
    assert after.current != before.current
    assert installation.is_installed()
    for server in servers:
        assert installation.shows_leaf_of(server, after.current)
        assert installation.admits()
    assert report(installation)[0] == 0


def test_a_rotation_by_hand_as_documented_refuses_no_pod(installation, tmp_path):
    """The commands of the page, in their order, in an installation with WATCH_NAMESPACE."""

    def run(command):
        command = command.replace("vmguard-system", installation.namespace)
        done = as_printed(
            command,
            PATH=str(installation.plane.programs["kubectl"].parent),
            folder=tmp_path,
            KUBECONFIG=str(installation.plane.kubeconfig()),
            VMGUARD_WEBHOOK_CONFIGURATION=installation.name,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    section = PAGE.split("## An administrator's CA")[1].split("\n## ")[0]
    commands = [line for line in shell_lines(section) if line]
    prepare, rotate = commands[:2], commands[2:]
    assert len(rotate) == 8
    for command in prepare:
        run(command)
    first = installation.state().current
    servers = [installation.replica(WATCH_NAMESPACE=installation.pods) for _ in range(2)]
    installation.ready(*servers)
    printed = [while_pods_are_created(installation, lambda command=command: run(command)) for command in rotate]
    assert printed[-1].endswith("All is well.\n")
    last = installation.state().current
    assert last != first
    assert installation.is_installed()
    for server in servers:
        assert installation.shows_leaf_of(server, last)
    assert not (tmp_path / "next.yaml").exists()


def test_a_secret_of_an_administrator_is_never_written_and_its_ca_is_trusted(installation):
    """Without WATCH_NAMESPACE: the leader installs the CA, and leaves its renewal to the administrator."""
    secret = certs(installation, "init", "--days", "59", "--namespace", installation.namespace)[1]
    done = installation.plane.kubectl("apply", "--server-side", "-f", "-", stdin=secret)
    assert done.returncode == 0, done.stderr
    before = installation.plane.api.get("v1", "Secret", SECRET, installation.namespace)
    server = installation.replica()
    installation.ready(server)
    wait_for(installation.is_installed, "the bundle")
    wait_for(installation.admits, "a pod to be admitted")
    note = "and vmguard does not renew it"
    wait_for(lambda: note in server.operation("/readyz?verbose")[1], "the note of the end")
    (line,) = [line for line in server.lines() if line["message"] == "certificate needs attention"]
    assert line["level"] == "warning"
    end = installation.state().current.certificate.not_valid_after_utc
    assert end.isoformat() in line["reason"]
    assert server.metric("vmguard_ca_certificate_expiry_timestamp_seconds") == end.timestamp()
    status, _, err = certs(installation, "rotate")
    assert status == 1
    assert "vmguard.io/managed-by" in err
    status, found = report(installation)
    assert (status, found["renewedBy"]) == (1, "administrator")
    assert "Rotate it by hand" in found["problems"][0]
    assert installation.plane.api.get("v1", "Secret", SECRET, installation.namespace) == before
    annotation = installation.plane.kubectl(
        "annotate", "secret", SECRET, "-n", installation.namespace, "vmguard.io/managed-by-"
    )
    assert annotation.returncode == 0, annotation.stderr
    wait_for(lambda: note not in server.operation("/readyz?verbose")[1], "the leader to renew the CA itself")
