"""A real API server, its controllers and kubectl act on vmguard's answers."""

import json
import re

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.fixtures import needs
from tests.controlplane.guard import guarding
from tests.controlplane.plane import control_plane
from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, bare_pod, failed_create
from tests.support.documentation import as_printed, shell_lines
from tests.support.golden import ROOT, Case, for_version, projection
from tests.support.server import ROOT as PROJECT
from tests.support.strict_creates import RESTRICTED

TOKEN = Case(ROOT / "strict-token--head-stripped-to-HEAD-strict--vlsingle-pvc-nosa--vlsingle-t")
NAMING = {
    "apiVersion": "operator.victoriametrics.com/v1beta1",
    "kind": "VMSingle",
    "metadata": {"name": "named"},
    "spec": {"podSecurityPolicyName": "x"},
}
"""A resource that names a policy."""


def test_pod_security_admits_the_hardened_pod_and_refuses_it_without_us(plane, guard):
    guarded = guard(**STRICT_SECURITY).namespace(**RESTRICTED)
    assert recreate(VMSINGLE, plane.api, guarded).pod()["spec"]["securityContext"]["runAsNonRoot"] is True
    bare = plane.namespace("restricted-without-us", RESTRICTED)
    recreate(VMSINGLE, plane.api, bare)
    assert failed_create(plane, bare, "violates PodSecurity")


def test_the_second_pass_does_not_add_the_token_back(plane, guard):
    pod = recreate(for_version(TOKEN, plane.version), plane.api, guard(**STRICT_SECURITY).namespace()).pod()
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert projection(pod)["apiVolumes"] == []


def test_a_pod_that_only_has_the_labels_stays_unchanged_with_a_warning(plane, guard):
    namespace = guard(**STRICT_SECURITY).namespace()
    stored = plane.api.create(bare_pod(), namespace)
    assert stored["spec"]["securityContext"] == {}
    (warning,) = plane.api.warnings
    assert warning.startswith("the pod has the operator's labels, but no resource of the operator owns it")
    assert warning.endswith("[workload]")


@pytest.mark.parametrize(
    "owner",
    [
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "vmsingle-t", "uid": "not-the-real-one"},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "../../secrets/x", "uid": "u"},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x?watch=true", "uid": "u"},
        {"apiVersion": "v1", "kind": "Secret", "name": "x", "uid": "u"},
        {"apiVersion": "operator.victoriametrics.com/v1beta1", "kind": "VMSingle", "name": "t", "uid": "u"},
    ],
    ids=lambda owner: owner["name"],
)
def test_a_pod_with_a_forged_owner_is_unmanaged(plane, guard, owner):
    namespace = guard(**STRICT_SECURITY).namespace()
    stored = plane.api.create(bare_pod(owner=owner), namespace)
    assert stored["spec"]["securityContext"] == {}
    assert guard(**STRICT_SECURITY).audited(namespace)["decision"].startswith("unmanaged: ")


def test_somebody_elses_resource_is_not_reached_over_namespaces(plane, guard):
    guarding = guard(**STRICT_SECURITY)
    theirs, ours = guarding.namespace(), guarding.namespace()
    made = recreate(VMSINGLE, plane.api, theirs)
    real = made.one("Deployment")
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{real['metadata']['name']}-x", "uid": "u"}
    stored = plane.api.create(bare_pod(owner=owner), ours)
    assert stored["spec"]["securityContext"] == {}


def test_a_pod_without_the_label_is_never_reviewed_as_documented(plane, guard):
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace()
    pod = bare_pod()
    del pod["metadata"]["labels"]
    assert plane.api.create(pod, namespace)["spec"]["securityContext"] == {}
    assert not guarding.decisions(namespace)


def _unwatched_workload(plane, namespace):
    """A workload without the operator's label, with labelled pods: no replica watches it."""
    template = bare_pod()
    template["metadata"].pop("name")
    labels = template["metadata"]["labels"]
    spec = {"serviceName": "x", "selector": {"matchLabels": labels}, "template": template}
    plane.api.create(
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x"}, "spec": spec}, namespace
    )


def test_a_pod_whose_owners_cannot_be_read_is_refused_and_its_owner_shows_why(plane, guard, watcher):
    namespace = guard(watcher, **STRICT_SECURITY).namespace()
    _unwatched_workload(plane, namespace)
    assert "HTTP 403" in failed_create(plane, namespace, "the owner of the pod cannot be known: StatefulSet")
    assert not plane.api.list("v1", "Pod", namespace)


def test_a_pod_with_unreadable_owners_is_admitted_unchanged_with_unknown_allow(plane, guard, watcher):
    guarding = guard(watcher, VMGUARD_UNKNOWN="allow", **STRICT_SECURITY)
    namespace = guarding.namespace()
    _unwatched_workload(plane, namespace)
    pods = wait_for(lambda: plane.api.list("v1", "Pod", namespace), "the pod")
    assert pods[0]["spec"]["securityContext"] == {}
    assert guarding.audited(namespace)["decision"].startswith("unknown: StatefulSet")


def test_a_server_side_dry_run_shows_the_patch_and_stores_nothing(plane, guard):
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace()
    made = recreate(VMSINGLE, plane.api, namespace)
    made.pod()
    replicas = plane.api.list("apps/v1", "ReplicaSet", namespace)[0]["metadata"]
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replicas["name"], "uid": replicas["uid"]}
    text = json.dumps(bare_pod("asked", owner))
    run = ("apply", "--dry-run=server", "-n", namespace, "-o", "json", "-f", "-")
    done = plane.kubectl(*run, stdin=text)
    assert json.loads(done.stdout)["spec"]["securityContext"]["runAsUser"] == 65534, done.stderr
    assert plane.api.find("v1", "Pod", "asked", namespace) is None
    assert guarding.decisions(namespace)[-1]["dry_run"] is True


def test_kubectl_debug_adds_its_container_as_it_wants(plane, guard):
    namespace = guard(**STRICT_SECURITY).namespace()
    name = recreate(VMSINGLE, plane.api, namespace).pod()["metadata"]["name"]
    needs(plane, 27, "kubectl debug --profile=general")
    done = plane.kubectl("debug", name, "-n", namespace, "--image=busybox", "-c", "night", "--profile=general")
    assert done.returncode == 0, done.stderr
    (container,) = plane.api.get("v1", "Pod", name, namespace)["spec"]["ephemeralContainers"]
    assert container["securityContext"] == {"capabilities": {"add": ["SYS_PTRACE"]}}


def test_audit_mode_changes_nothing_and_reports_all(plane, guard):
    guarding = guard(VMGUARD_MODE="audit", **STRICT_SECURITY)
    namespace = guarding.namespace()
    pod = recreate(VMSINGLE, plane.api, namespace).pod()
    assert pod["spec"]["securityContext"] == {}
    assert all("securityContext" not in container for container in pod["spec"]["containers"])
    assert guarding.audited(namespace)["decision"] == "would-patch"
    assert re.match(r"security-context=\d+", guarding.audited(namespace)["rules"])
    metrics = guarding.server.operation("/metrics")[1]
    assert 'vmguard_admission_requests_total{outcome="would-patch",webhook="mutate"}' in metrics
    assert "would-patch" in {line["outcome"] for line in guarding.decisions(namespace)}
    stored = plane.api.create(NAMING, namespace, dryRun="All")
    assert stored["spec"] == {"podSecurityPolicyName": "x"}
    (warning,) = plane.api.warnings
    assert warning.startswith(f"would be denied (VMGUARD_MODE=audit): VMSingle {namespace}/named ")


def test_a_denied_pod_shows_as_failed_create_on_its_owner_with_our_message(plane, guard):
    guarding = guard(VMGUARD_ENFORCE="deny", **STRICT_SECURITY)
    namespace = guarding.namespace()
    made = recreate(VMSINGLE, plane.api, namespace)
    made.pod()
    deployment = made.one("Deployment")
    template = plane.api.get("apps/v1", "Deployment", deployment["metadata"]["name"], namespace)["spec"]["template"]
    main = next(c for c in template["spec"]["containers"] if c["name"] == "vmsingle")
    main["securityContext"] = {"privileged": True}
    body = {"spec": {"template": template}}
    plane.api.patch("apps/v1", "Deployment", deployment["metadata"]["name"], body, namespace)
    message = failed_create(plane, namespace, "denied the request")
    assert "not compliant: spec.containers[" in message
    assert "privileged is true, wanted false" in message


def test_audit_annotations_say_what_was_decided_and_why(plane, guard):
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace()
    recreate(VMSINGLE, plane.api, namespace).pod()
    said = guarding.audited(namespace)
    assert said.keys() == {"decision", "workload", "posture", "rules", "facts"}
    assert said["workload"] == f"vmsingle of VMSingle {namespace}/t"
    assert said["posture"].startswith("strict (VM_ENABLESTRICTSECURITY=true)")
    assert re.fullmatch(r"ReplicaSet=found/\S+, Deployment=found/\S+, VMSingle=found/\S+", said["facts"])


def test_a_resource_that_names_a_policy_is_refused_where_there_are_none(plane, guard):
    needs(plane, 25, "that PodSecurityPolicies are not served")
    namespace = guard(**STRICT_SECURITY).namespace()
    with pytest.raises(ApiError, match=r"policy/v1beta1 was removed in Kubernetes 1\.25"):
        plane.api.create(NAMING, namespace)
    done = plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(NAMING))
    assert "denied the request: VMSingle" in done.stderr
    plane.api.create({**NAMING, "spec": {}}, namespace)


def test_the_readmes_pipe_runs_as_printed(can_have_control_plane):
    """It has a control plane of its own, because the pipe judges every resource and pod of the cluster."""
    with control_plane() as plane:
        plane.install_resources()
        with guarding(plane, **STRICT_SECURITY):
            recreate(VMSINGLE, plane.api, plane.namespace("piped")).pod()
        text = (PROJECT / "README.md").read_text()
        (command,) = (line for line in shell_lines(text) if line.startswith("kubectl get"))
        done = as_printed(command, PATH=str(plane.programs["kubectl"].parent), KUBECONFIG=str(plane.kubeconfig()))
    assert done.returncode == 0, done.stderr
    assert "VMSingle piped/t, component vmsingle, found by its owners" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Summary: ")
