"""A kind of the operator that this version does not know is reported everywhere, and its pods are never hardened."""

import json

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.support.admission_pods import bare_pod, failed_create
from tests.support.audit_scans import AuditScans
from tests.support.sample_pods import LABELS, owned_by
from webhook.manifests.crds import definition
from webhook.policy.custom_resources import GROUP, CustomResource

KIND = "VMFoo"


@pytest.fixture(scope="module")
def new_kind(plane):
    """A definition that a newer operator might bring, served until the module's tests have ended."""
    plane.api.create(definition(CustomResource(KIND, "vmfoos", "vmfoo", "v1")))
    wait_for(lambda: plane.api.serves(f"{GROUP}/v1", KIND), "the kind to be served")
    yield KIND
    plane.api.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"vmfoos.{GROUP}")


def _stateful_set(plane, namespace):
    """A StatefulSet of a new VMFoo, which makes one pod."""
    resource = {"apiVersion": f"{GROUP}/v1", "kind": KIND, "metadata": {"name": "x"}}
    owner = owned_by(plane.api.create(resource, namespace))
    template = bare_pod()
    template["metadata"] = {"labels": {"app": "x", **LABELS}}
    spec = {"serviceName": "x", "selector": {"matchLabels": {"app": "x"}}, "template": template}
    meta = {"name": "vmfoo-x", "labels": dict(LABELS), "ownerReferences": owner}
    plane.api.create({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}, namespace)


def test_its_pods_are_stored_unchanged_counted_and_named(plane, guard, new_kind):
    guarding = guard(VM_ENABLESTRICTSECURITY="true")
    namespace = guarding.namespace()
    _stateful_set(plane, namespace)
    pod = wait_for(lambda: plane.api.find("v1", "Pod", "vmfoo-x-0", namespace), "the pod")
    assert pod["spec"]["securityContext"] == {}
    outcomes = {line["outcome"] for line in guarding.decisions(namespace)}
    assert outcomes == {"unknown-kind"}
    assert guarding.audited(namespace)["decision"] == f"unknown-kind: {KIND} {namespace}/x"
    assert 'outcome="unknown-kind"' in guarding.server.operation("/metrics")[1]


def test_a_resource_that_it_controls_is_applied_with_a_warning(plane, guard, new_kind):
    namespace = guard(VM_ENABLESTRICTSECURITY="true").namespace()
    parent = {"apiVersion": f"{GROUP}/v1", "kind": KIND, "metadata": {"name": "parent"}}
    owner = owned_by(plane.api.create(parent, namespace))
    child = {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "VMAgent",
        "metadata": {"name": "child", "ownerReferences": owner},
    }
    done = plane.kubectl("apply", "--namespace", namespace, "-f", "-", stdin=json.dumps(child))
    assert done.returncode == 0, done.stderr
    assert f"VMAgent {namespace}/child belongs to {KIND} {namespace}/parent" in done.stderr


def test_its_pods_are_refused_under_deny_and_the_event_names_the_kind(plane, guard, new_kind):
    namespace = guard(VMGUARD_ENFORCE="deny").namespace()
    _stateful_set(plane, namespace)
    assert f"{KIND} {namespace}/x" in failed_create(plane, namespace, "denied the request")
    assert plane.api.list("v1", "Pod", namespace) == []


def test_a_pod_that_a_known_resource_controls_directly_is_refused_under_deny(plane, guard):
    """No operator puts a resource there, so vmguard does not know what the pod must look like."""
    namespace = guard(VMGUARD_ENFORCE="deny").namespace()
    resource = {"apiVersion": f"{GROUP}/v1beta1", "kind": "VMSingle", "metadata": {"name": "x"}}
    (owner,) = owned_by(plane.api.create(resource, namespace))
    with pytest.raises(ApiError, match=f"VMSingle {namespace}/x, the controller of a Pod"):
        plane.api.create(bare_pod("direct", owner), namespace, dryRun="All")


def test_the_survey_counts_its_pods_by_namespace_and_kind(plane, namespace, new_kind):
    _stateful_set(plane, namespace)
    wait_for(lambda: plane.api.find("v1", "Pod", "vmfoo-x-0", namespace), "the pod")
    scans = AuditScans(plane.kubeconfig(), namespace)
    (result,) = scans.results()
    assert result.unknown_kinds == {(namespace, KIND): 1}
    labels = {"namespace": namespace, "kind": KIND}
    assert scans.metrics.registry.get_sample_value("vmguard_unknown_kind_pods", labels) == 1
    (line,) = scans.lines()
    assert (line["level"], line["unknown_kinds"]) == ("warning", [f"{KIND} in {namespace}: 1"])


def test_verbose_readiness_names_the_kind_and_stays_ready(guard, new_kind):
    server = guard(VM_ENABLESTRICTSECURITY="true").server
    status, text = wait_for(
        lambda: answer if "[!]unknown-kinds" in (answer := server.operation("/readyz?verbose"))[1] else None,
        "discovery to notice the kind",
    )
    assert status == 200
    assert f"[!]unknown-kinds {KIND}: not known to this version of vmguard" in text
