"""Helm installs, tests, upgrades, takes back and removes the chart, and no pod of the operator pays for it.

Deployment, scheduling and EndpointSlices are the real controllers'; a stand-in for the kubelet runs the pods.
"""

import base64
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from certs import Authority
from tests.controlplane.api import wait_for
from tests.controlplane.fixtures import had
from tests.controlplane.versions import NEWEST, OLDEST_AND_NEWEST, WITH_POLICIES
from tests.support.foreign_definitions import foreign_kinds
from tests.support.helm import CHART, NAMESPACE, RELEASE
from tests.support.installed import IMAGE, LATER, cluster
from tests.support.patience import PATIENCE
from tests.support.programs import started
from tests.support.server import environment
from webhook.policy.enforcement import MODE_LABEL, MODE_VALUE

CONFIGURATIONS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
LEASE = ("coordination.k8s.io/v1", "Lease")
ADMISSION = "admissionregistration.k8s.io/v1"
WAIT = ("--wait", "--timeout", f"{PATIENCE:.0f}s")


@pytest.fixture(scope="module")
def here(request, pytestconfig, can_have_control_plane):
    """One cluster of each version for all tests of this file; each test leaves it without vmguard.

    The delay is shorter than that of the chart, so that replicas end sooner; pods are created all the time meanwhile.
    """
    if request.param == WITH_POLICIES:
        request.getfixturevalue("can_have_policies")
    made = cluster(request.param, VMGUARD_SHUTDOWN_DELAY="5")
    yield had(pytestconfig, made.__enter__)
    made.__exit__(None, None, None)


@pytest.fixture
def installer(request, here):
    """One of the versions of Helm. Their applies differ."""
    return replace(request.getfixturevalue(request.param), kubeconfig=here.plane.kubeconfig())


on_both = pytest.mark.parametrize("here", OLDEST_AND_NEWEST, indirect=True, scope="module")


@pytest.fixture
def helm_4(helm, here):
    return replace(helm, kubeconfig=here.plane.kubeconfig())


def _bundles(here, name=RELEASE):
    """The CA bundle of each entry of both configurations, None for an entry without one."""
    entries = (entry for kind in CONFIGURATIONS for entry in here.plane.api.get(ADMISSION, kind, name)["webhooks"])
    return {entry["name"]: entry["clientConfig"].get("caBundle") for entry in entries}


def _ca(here):
    return here.plane.api.get("v1", "Secret", f"{RELEASE}-ca", NAMESPACE)["data"]


def _settings(here):
    found = here.plane.api.get("apps/v1", "Deployment", RELEASE, NAMESPACE)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}


def _upgrade(helm, *arguments, **values):
    command = ("upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, *WAIT, *arguments)
    return helm.text(*command, values=values)


def _gone(here, *namespaces):
    for each in namespaces:
        here.plane.api.delete("v1", "Namespace", each)
    for each in namespaces:
        wait_for(lambda each=each: here.plane.api.find("v1", "Namespace", each) is None, "the namespace to go")
    wait_for(lambda: not here.kubelet.replicas, "the replicas to end")


@pytest.mark.parametrize(
    ("here", "installer"),
    [(NEWEST, "helm"), (NEWEST, "helm_3"), (WITH_POLICIES, "helm")],
    indirect=True,
    scope="module",
)
def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(here, installer):
    """While pods are created in a namespace that is enforced. An upgrade keeps the CA and its bundle."""
    helm = installer
    name = f"life-{helm.folder.name[:6]}"
    pod, other = here.pod(name), here.pod(f"{name}-other")
    command = ("install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace", *WAIT)
    notes = helm.text(*command)
    assert "This is a trial" in notes
    assert "kubectl label namespace NAME vmguard.io/mode=enforce" in notes
    here.rolled_out()
    assert not here.hardened(pod, name), "a trial changes nothing"
    here.plane.api.patch("v1", "Namespace", name, {"metadata": {"labels": {MODE_LABEL: MODE_VALUE}}})
    wait_for(lambda: here.hardened(pod, name), "the label to be learnt")
    ca, bundles = _ca(here), _bundles(here)
    assert all(bundles.values())
    with here.creating(pod, name) as creates:
        creates.wait()
        notes = _upgrade(helm, mode="enforce")
        assert "vmguard enforces" in notes
        assert "This is a trial" not in notes
        here.rolled_out()
        assert (_ca(here), _bundles(here)) == (ca, bundles)
        wait_for(lambda: here.hardened(other, f"{name}-other"), "the last replica of the trial to end")
        _upgrade(helm, mode="enforce", enforce="deny", image={"tag": LATER})
        assert here.rolled_out() == [f"{IMAGE}:{LATER}"] * 2
        assert (_ca(here), _bundles(here)) == (ca, bundles)
        creates.wait()
        helm.text("rollback", RELEASE, "1", "--namespace", NAMESPACE, *WAIT)
        here.rolled_out()
        assert _settings(here)["VMGUARD_MODE"] == "audit"
        assert (_ca(here), _bundles(here)) == (ca, bundles)
        creates.wait()
        wait_for(lambda: not here.hardened(other, f"{name}-other"), "the trial to go on")
        assert (creates.unhardened, creates.refused) == (0, [])
        if helm.folder.name.startswith("helm-3"):  # it removes them last, after the Deployment
            here.kubectl("delete", "mutatingwebhookconfiguration,validatingwebhookconfiguration", RELEASE)
        helm.text("uninstall", RELEASE, "--namespace", NAMESPACE)
        wait_for(lambda: creates.unhardened, "the configurations to go")
        creates.wait()
        assert creates.refused == []
    _gone(here, NAMESPACE)


@on_both
def test_an_uninstall_without_a_replica_leaves_no_pod_blocked(here, helm_4):
    """Every entry that can deny has failurePolicy Fail, and the pods of vmguard are gone before."""
    pod = here.pod("blocked")
    values = {"mode": "enforce"}
    command = ("install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace", *WAIT)
    helm_4.text(*command, values=values)
    wait_for(lambda: here.hardened(pod, "blocked"), "vmguard to be called")
    here.kubectl("scale", "-n", NAMESPACE, f"deployment/{RELEASE}", "--replicas=0")
    wait_for(lambda: here.created(pod, "blocked") is None, "the last replica to go")
    helm_4.text("uninstall", RELEASE, "--namespace", NAMESPACE)
    assert wait_for(lambda: here.created(pod, "blocked"), "the configurations to go")
    _gone(here, NAMESPACE)


@on_both
def test_two_releases_in_two_namespaces_do_not_touch_each_other(here, helm_4):
    """Each has its own names, its own Lease and its own CA; one goes and the other one stays."""
    names = {"one": "one-vmguard", "two": "two-vmguard"}
    pod = here.pod("pods-of-both")
    for release in names:
        command = ("install", release, str(CHART), "--namespace", f"{release}-system", "--create-namespace", *WAIT)
        helm_4.text(*command, values={"mode": "enforce", "replicaCount": 1})
    for release, name in names.items():
        here.rolled_out(f"{release}-system", name)
        wait_for(lambda name=name: all(_bundles(here, name).values()), "the bundles")
        leases = here.plane.api.list(*LEASE, f"{release}-system")
        assert [each["metadata"]["name"] for each in leases] == [name]
    first, second = (set(_bundles(here, name).values()) for name in names.values())
    assert first.isdisjoint(second)
    assert here.hardened(pod, "pods-of-both")
    again = helm_4.run("install", "one", str(CHART), "--namespace", "three-system", "--create-namespace")
    assert again.returncode != 0, "the names of a release in another namespace are taken"
    assert "invalid ownership metadata" in again.stderr
    before = set(_bundles(here, "two-vmguard").values())
    helm_4.text("uninstall", "one", "--namespace", "one-system")
    wait_for(lambda: not here.kubelet.running("one-system"), "the first to end")
    assert wait_for(lambda: here.hardened(pod, "pods-of-both"), "the second one alone to be called")
    assert set(_bundles(here, "two-vmguard").values()) == before
    helm_4.text("uninstall", "two", "--namespace", "two-system")
    assert wait_for(lambda: here.created(pod, "pods-of-both"), "the configurations to go")
    _gone(here, *(f"{release}-system" for release in names))


REACHED = """
import socket
real = socket.create_connection
def create_connection(address, *rest, **options):
    return real(("127.0.0.1", {ports}[address]), *rest, **options)
socket.create_connection = create_connection
"""
"""Put before the script of the test pod: the Service has an address only in a cluster."""


def _test_pod(here, folder, ports):
    """Run what the container of the test pod runs, as the kubelet would: its status and what it printed."""
    pod = wait_for(lambda: here.plane.api.find("v1", "Pod", f"{RELEASE}-test", NAMESPACE), "the test pod")
    (container,), (volume,) = pod["spec"]["containers"], pod["spec"]["volumes"]
    (item,) = volume["secret"]["items"]
    secret = here.plane.api.get("v1", "Secret", volume["secret"]["secretName"], NAMESPACE)
    ca = folder / item["path"]
    ca.write_bytes(base64.b64decode(secret["data"][item["key"]]))
    *_, script = container["command"]
    (mount,) = (each["mountPath"] for each in container["volumeMounts"])
    variables = {each["name"]: each["value"].replace(f"{mount}/", f"{folder}/", 1) for each in container["env"]}
    variables["no_proxy"] = "*"  # a proxy of this machine is not one of the cluster
    command = [sys.executable, "-c", REACHED.format(ports=ports) + script]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(**variables), timeout=PATIENCE, check=False
    )


def _finished(here, done):
    phase = "Failed" if done.returncode else "Succeeded"
    where = f"{here.plane.api.path('v1', 'Pod', NAMESPACE, f'{RELEASE}-test')}/status"
    here.plane.api.request("PATCH", where, {"status": {"phase": phase}}, "application/merge-patch+json")


@on_both
def test_helm_test_checks_readiness_and_a_dry_run(here, helm_4, tmp_path):
    """Without an answer it fails. This test is the kubelet of the test pod."""
    command = ("install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace", *WAIT)
    helm_4.text(*command, values={"replicaCount": 1})
    here.rolled_out()
    (replica,) = here.kubelet.running(NAMESPACE)
    server = f"{RELEASE}.{NAMESPACE}.svc"
    (webhook,) = here.kubelet.egress.ports[replica.ways[0]]
    ports = {(server, 443): webhook, (server, 8080): int(replica.operations.rpartition(":")[2])}
    words = [str(helm_4.program), "test", RELEASE, "--namespace", NAMESPACE, "--timeout", f"{PATIENCE:.0f}s"]
    for reached, status in ((ports, 0), ({**ports, (server, 443): ports[server, 8080]}, 1)):
        with started(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=helm_4.environment()) as process:
            done = _test_pod(here, tmp_path, reached)
            _finished(here, done)
            said = process.communicate(timeout=PATIENCE)[0]
        assert (done.returncode, process.returncode) == (status, status), done.stderr + said
        if not status:
            assert done.stdout.startswith("/readyz: 200\n/dry-run: the level of the pods of a VMSingle is ")
    helm_4.text("uninstall", RELEASE, "--namespace", NAMESPACE)
    _gone(here, NAMESPACE)


@pytest.fixture
def cert_manager_kinds(here):
    """The cluster also has the kinds of cert-manager."""
    with foreign_kinds(here.plane):
        yield


@pytest.mark.parametrize("here", [NEWEST], indirect=True, scope="module")
def test_with_cert_manager_vmguard_serves_what_is_mounted_and_writes_nothing(here, helm_4, cert_manager_kinds):
    """This test is cert-manager: it makes the Secret of the Certificate, and writes the bundle by the annotation."""
    api, pod = here.plane.api, here.pod("certified")
    here.plane.namespace(NAMESPACE)
    values = {"mode": "enforce", "replicaCount": 1, "certManager": {"enabled": True, "issuerRef": {"name": "ca"}}}
    helm_4.text("install", RELEASE, str(CHART), "--namespace", NAMESPACE, values=values)
    (wanted,) = api.list("cert-manager.io/v1", "Certificate", NAMESPACE)
    (name,), now = wanted["spec"]["dnsNames"], datetime.now(UTC)
    authority = Authority.create("issuer", now=now, lifetime=timedelta(days=1), only=name)
    leaf = authority.issue((name,), now=now, lifetime=timedelta(hours=1))
    files = {"tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem, "ca.crt": authority.certificate_pem}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": wanted["spec"]["secretName"]},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(text).decode() for key, text in files.items()},
    }
    api.create(secret, NAMESPACE)
    for kind in CONFIGURATIONS:
        found = api.get(ADMISSION, kind, RELEASE)
        place = found["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
        assert place == f"{NAMESPACE}/{wanted['metadata']['name']}"
        for entry in found["webhooks"]:
            entry["clientConfig"]["caBundle"] = secret["data"]["ca.crt"]
        api.patch(ADMISSION, kind, RELEASE, {"webhooks": found["webhooks"]})
    here.rolled_out()
    wait_for(lambda: here.hardened(pod, "certified"), "vmguard to be called")
    assert set(_bundles(here).values()) == {secret["data"]["ca.crt"]}
    assert api.find("v1", "Secret", f"{RELEASE}-ca", NAMESPACE) is None
    (replica,) = here.kubelet.running(NAMESPACE)
    assert "may not" not in replica.log, "it asks for no permission that the chart does not give"
    helm_4.text("uninstall", RELEASE, "--namespace", NAMESPACE)
    _gone(here, NAMESPACE)
