"""vmguard is installed, updated, taken back and removed by its manifests, and no pod of the operator pays for it.

Deployment, scheduling and EndpointSlices are the real controllers'; a stand-in for the kubelet runs the pods.
"""

import json

import pytest
import yaml

from tests.controlplane.api import wait_for
from tests.controlplane.fixtures import had
from tests.controlplane.stand_in_kubelet import VMGUARD
from tests.controlplane.versions import OLDEST_AND_NEWEST, WITH_POLICIES
from tests.support.command import vmguard
from tests.support.installed import IMAGE, LATER, NAMESPACE, cluster
from tests.support.overlays import kustomization
from tests.support.pod_load import is_hardened
from webhook.manifests.installation import VERSION
from webhook.policy.enforcement import EXEMPT, EXEMPT_VALUE, MODE_LABEL, MODE_VALUE

DEFAULT = {"resources": ["deploy/overlays/default"]}
ENFORCING = {**DEFAULT, "components": ["deploy/components/enforce"]}
CONFIGURATIONS = "mutatingwebhookconfiguration,validatingwebhookconfiguration"
BY_LABEL = "app.kubernetes.io/instance=vmguard"
"""The label of one installation."""


def tagged(tag):
    return {"images": [{"name": IMAGE, "newTag": tag}]}


@pytest.fixture(scope="module", params=OLDEST_AND_NEWEST)
def here(request, pytestconfig, can_have_control_plane):
    """One cluster of each version for all tests of this file; each test leaves it without vmguard."""
    if request.param == WITH_POLICIES:
        request.getfixturevalue("can_have_policies")
    made = cluster(request.param)
    yield had(pytestconfig, made.__enter__)
    made.__exit__(None, None, None)


def _install(here, folder):
    here.kubectl("apply", "--server-side", "-k", str(folder))
    return here.rolled_out()


def _labelled(here, namespace, label, value):
    here.plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {label: value}}})


def _gone(here):
    """Wait until nothing of vmguard is left, so that the next test can install it."""
    here.kubectl("delete", "pods", "-n", NAMESPACE, "--all", "--force", "--grace-period=0")
    wait_for(lambda: here.plane.api.find("v1", "Namespace", NAMESPACE) is None, "the namespace to go")
    assert here.kubectl("get", f"{CONFIGURATIONS},clusterrole,clusterrolebinding", "-l", BY_LABEL) == ""
    wait_for(lambda: not here.kubelet.replicas, "the replicas to end")


def test_an_update_a_way_back_and_an_orderly_end_refuse_no_pod(here, tmp_path):
    """The steps of docs/install.md, while pods are created in a namespace whose entry has failurePolicy Fail."""
    pod = here.pod("life")
    before = here.created(pod, "life")
    assert before["spec"]["securityContext"] == {}
    assert _install(here, kustomization(tmp_path / "one", **DEFAULT, **tagged(VERSION))) == [f"{IMAGE}:{VERSION}"] * 2
    assert not here.hardened(pod, "life"), "a trial changes nothing"
    _labelled(here, "life", MODE_LABEL, MODE_VALUE)
    wait_for(lambda: here.hardened(pod, "life"), "the label to be learnt")
    with here.creating(pod, "life") as creates:
        creates.wait()
        updated = _install(here, kustomization(tmp_path / "two", **DEFAULT, **tagged(LATER)))
        assert updated == [f"{IMAGE}:{LATER}"] * 2
        creates.wait()
        back = _install(here, kustomization(tmp_path / "one", **DEFAULT, **tagged(VERSION)))
        assert back == [f"{IMAGE}:{VERSION}"] * 2
        creates.wait()
        _install(here, kustomization(tmp_path / "three", **ENFORCING, **tagged(VERSION)))
        creates.wait()
        assert (creates.refused, creates.unhardened) == ([], 0)
        here.kubectl("delete", CONFIGURATIONS, "vmguard")
        here.kubectl("delete", "-k", str(tmp_path / "three"), "--ignore-not-found", "--wait=false")
        wait_for(lambda: creates.unhardened, "the configurations to go")
        creates.wait()
        assert creates.refused == []
    _gone(here)


def test_each_step_towards_enforcing_with_vmguard_down_and_up(here, tmp_path):
    """A trial that is down blocks nothing; where vmguard enforces, no pod is created without it."""
    pods = {name: here.pod(name) for name in ("first", "rest")}

    def becomes(**expected):
        for name, what in expected.items():
            wait_for(lambda name=name, what=what: _what(here, pods[name], name) == what, f"{name} to be {what}")

    def down():
        here.kubectl("scale", "-n", NAMESPACE, "deployment/vmguard", "--replicas=0")
        here.kubectl("delete", "pods", "-n", NAMESPACE, "--all", "--force", "--grace-period=0")
        wait_for(lambda: not here.kubelet.replicas, "the replicas to end")

    def up():
        here.kubectl("scale", "-n", NAMESPACE, "deployment/vmguard", "--replicas=2")
        here.rolled_out()

    _install(here, kustomization(tmp_path / "trial", **DEFAULT))
    becomes(first="as it was", rest="as it was")
    down()
    becomes(first="as it was", rest="as it was")
    _labelled(here, "first", MODE_LABEL, MODE_VALUE)
    becomes(first="refused", rest="as it was")
    up()
    becomes(first="hardened", rest="as it was")
    _labelled(here, "first", MODE_LABEL, "Enforce")
    becomes(first="as it was", rest="as it was")
    _labelled(here, "first", MODE_LABEL, None)
    _install(here, kustomization(tmp_path / "enforcing", **ENFORCING))
    down()
    becomes(first="refused", rest="refused")
    up()
    becomes(first="hardened", rest="hardened")
    down()
    here.kubectl("apply", "--server-side", "-k", str(tmp_path / "trial"))
    here.rolled_out()
    becomes(first="as it was", rest="as it was")
    _all_at_once(here, tmp_path / "trial")
    _gone(here)


def _what(here, pod, namespace):
    """What becomes of a pod that is created now."""
    made = here.created(pod, namespace)
    return "refused" if made is None else "hardened" if is_hardened(made) else "as it was"


def test_with_roles_alone_one_namespace_is_enforced(here, tmp_path):
    """The owner of the namespace makes the CA, and an administrator of the cluster lets the configurations trust it."""
    pods = {name: here.pod(name) for name in ("monitoring", "unwatched")}
    folder = kustomization(
        tmp_path / "mine", resources=["deploy/overlays/namespaced"], components=["deploy/components/enforce"]
    )
    here.kubectl("apply", "--server-side", "-k", str(folder))
    status, secret, err = vmguard("certs", "init", "--namespace", "monitoring", "--ca-file", "ca.crt", cwd=tmp_path)
    assert status == 0, err
    done = here.plane.kubectl("apply", "--server-side", "--field-manager=vmguard-certs", "-f", "-", stdin=secret)
    assert done.returncode == 0, done.stderr
    assert vmguard("certs", "trust", "ca.crt", cwd=tmp_path, KUBECONFIG=str(here.plane.kubeconfig()))[0] == 0
    here.rolled_out("monitoring")
    wait_for(lambda: here.hardened(pods["monitoring"], "monitoring"), "a pod to be hardened")
    assert not here.hardened(pods["unwatched"], "unwatched")
    here.kubectl("apply", "--server-side", "-k", str(folder))
    assert here.plane.api.get("v1", "Secret", "vmguard-ca", "monitoring")["data"], "an apply keeps the CA"
    assert here.hardened(pods["monitoring"], "monitoring")
    roles = here.kubectl("get", "clusterroles", "-l", BY_LABEL, "-o", "name")
    assert roles == ""
    for replica in here.kubelet.running("monitoring"):
        lines = [json.loads(line) for line in replica.log.splitlines() if line.startswith("{")]
        forbidden = [line["reason"] for line in lines if "may not" in line.get("reason", "")]
        assert all("webhookconfigurations" in reason for reason in forbidden), "it need not read them"
    here.kubectl("delete", "-k", str(folder), "--wait=false")
    here.kubectl("delete", "pods", "-n", "monitoring", "-l", VMGUARD, "--force", "--grace-period=0")
    wait_for(lambda: not here.kubelet.replicas, "the replicas to end")


def _all_at_once(here, folder):
    here.kubectl("delete", "-k", str(folder), "--wait=false")


def _by_label(here, folder):
    """As a prune does it: everything with the label, the Deployment before the configurations."""
    here.kubectl("delete", "deployment,service,secret", "-n", NAMESPACE, "-l", BY_LABEL, "--wait=false")
    kinds = f"{CONFIGURATIONS},clusterrole,clusterrolebinding,namespace"
    here.kubectl("delete", kinds, "-l", BY_LABEL, "--wait=false")


def _by_apply_of_less(here, folder):
    """`kubectl apply --prune` of an overlay from which vmguard was taken out."""
    here.kubectl("apply", "-k", str(folder))
    rest = kustomization(folder / "rest", resources=["left.yaml"])
    labels = {each.split("=")[0]: each.split("=")[1] for each in [BY_LABEL]}
    left = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "left", "namespace": "default"}}
    left["metadata"]["labels"] = labels
    (rest / "left.yaml").write_text(yaml.safe_dump(left))
    kinds = ("core/v1/ConfigMap", "core/v1/Namespace", "apps/v1/Deployment", "rbac.authorization.k8s.io/v1/ClusterRole")
    more = ("rbac.authorization.k8s.io/v1/ClusterRoleBinding",)
    admission = tuple(
        f"admissionregistration.k8s.io/v1/{kind}WebhookConfiguration" for kind in ("Mutating", "Validating")
    )
    flag = "--prune-whitelist" if here.plane.version == WITH_POLICIES else "--prune-allowlist"
    allowed = [f"{flag}={kind}" for kind in (*kinds, *more, *admission)]
    here.kubectl("apply", "--prune", "-l", BY_LABEL, *allowed, "-k", str(rest))


@pytest.mark.parametrize("remove", [_all_at_once, _by_label, _by_apply_of_less])
def test_however_it_is_removed_no_pod_is_blocked_afterwards(here, tmp_path, remove):
    """Every entry has failurePolicy Fail before."""
    namespace = f"removed-{remove.__name__.strip('_').replace('_', '-')}"
    pod = here.pod(namespace)
    folder = kustomization(tmp_path / "mine", **ENFORCING)
    _install(here, folder)
    wait_for(lambda: here.hardened(pod, namespace), "vmguard to be called")
    remove(here, folder)
    made = wait_for(lambda: here.created(pod, namespace), "a pod to be created")
    wait_for(lambda: not here.hardened(pod, namespace), "the configurations to go")
    assert made
    _gone(here)


def test_an_update_that_cannot_start_leaves_the_old_replicas_serving(here, tmp_path):
    """An image that cannot be pulled: the new replica never gets ready, and no old one ends."""
    pod = here.pod("broken")
    _install(here, kustomization(tmp_path / "good", **ENFORCING))
    wait_for(lambda: here.hardened(pod, "broken"), "vmguard to be called")
    with here.creating(pod, "broken") as creates:
        bad = kustomization(tmp_path / "bad", **ENFORCING, **tagged("0.3.0-missing"))
        here.kubectl("apply", "--server-side", "-k", str(bad))
        wait_for(lambda: len(here.kubelet.running(NAMESPACE)) == 3, "the new replica")
        creates.wait(40)
        assert (creates.refused, creates.unhardened) == ([], 0)
        _install(here, tmp_path / "good")
        creates.wait()
        assert (creates.refused, creates.unhardened) == ([], 0)
    _all_at_once(here, tmp_path / "good")
    _gone(here)


def test_an_exempt_namespace_is_free_at_once_though_no_replica_runs(here, tmp_path):
    """The way out in one command; an apply of the manifests keeps it."""
    pod = here.pod("exempt")
    folder = kustomization(tmp_path / "mine", **ENFORCING)
    _install(here, folder)
    wait_for(lambda: here.hardened(pod, "exempt"), "vmguard to be called")
    here.kubectl("scale", "-n", NAMESPACE, "deployment/vmguard", "--replicas=0")
    wait_for(lambda: here.created(pod, "exempt") is None, "the last replica to go")
    here.kubectl("label", "namespace", "exempt", f"{EXEMPT}={EXEMPT_VALUE}")
    assert wait_for(lambda: here.created(pod, "exempt"), "the label to be learnt")["spec"]["securityContext"] == {}
    here.kubectl("apply", "--server-side", "-k", str(folder))
    here.rolled_out()
    assert not here.hardened(pod, "exempt")
    here.kubectl("label", "namespace", "exempt", f"{EXEMPT}-")
    wait_for(lambda: here.hardened(pod, "exempt"), "the namespace to be enforced again")
    _all_at_once(here, folder)
    _gone(here)
