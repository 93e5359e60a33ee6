"""A pod belongs to a resource by its chain of owners only."""

import pytest

from tests.support.sample_pods import UNREACHABLE, Answers, decide, owned_by, pod, resource, vmsingle, workload
from webhook.facts import Unknown


def test_the_owner_chain_decides_and_labels_do_not():
    asked, objects = vmsingle()
    asked["metadata"]["labels"] = {}
    assert decide(asked, objects).outcome == "patched"


def test_a_pod_with_labels_alone_is_unmanaged_and_gets_a_warning():
    decision = decide(pod(), [resource("VMSingle")])
    assert decision.outcome == "unmanaged"
    assert decision.warnings == (
        "the pod has the operator's labels, but no resource of the operator owns it: it has no controller that leads to"
        " a resource of the operator; nothing was changed [workload]",
    )


def _forged(changes):
    cr = resource("VMSingle")
    owner = workload("Deployment", "vmsingle-db", cr)
    replicas = workload("ReplicaSet", "vmsingle-db-1", owner)
    asked = pod(replicas)
    reference = asked["metadata"]["ownerReferences"][0]
    reference.update(changes)
    return asked, [cr, owner, replicas]


@pytest.mark.parametrize(
    "changes",
    [
        {"uid": "another"},
        {"uid": ""},
        {"controller": False},
        {"controller": None},
        {"name": "../../secrets/x"},
        {"name": "x" * 300},
        {"name": ""},
        {"kind": "Deployment"},
        {"kind": "Job", "apiVersion": "batch/v1"},
        {"kind": "VMSingle", "apiVersion": "operator.victoriametrics.com/v1beta1", "name": "db", "uid": "another"},
        {"apiVersion": "apps.evil.example/v1"},
    ],
)
def test_a_forged_owner_reference_leads_nowhere(changes):
    decision = decide(*_forged(changes))
    assert decision.outcome == "unmanaged"
    assert not decision.patch


def test_a_deployment_that_names_another_resources_uid_leads_nowhere():
    cr = resource("VMSingle")
    owner = workload("Deployment", "vmsingle-db", cr)
    owner["metadata"]["ownerReferences"] = owned_by(cr, uid="stolen")
    replicas = workload("ReplicaSet", "r", owner)
    assert decide(pod(replicas), [cr, owner, replicas]).outcome == "unmanaged"


def _unknown_kinds():
    """Pods whose chain leads to what the tables do not have, by what the message must name."""
    new = {**resource("VMSingle", "x"), "kind": "VMFoo"}
    direct = workload("StatefulSet", "vmfoo-x", new)
    deployment = workload("Deployment", "vmfoo-x", new)
    replicas = workload("ReplicaSet", "vmfoo-x-1", deployment)
    parent = {**resource("VMDistributed", "p"), "kind": "VMGalaxy"}
    child = resource("VMSingle", "p-a", {"useStrictSecurity": False}, parent)
    childs = workload("StatefulSet", "vmsingle-p-a", child)
    cluster = resource("VMCluster", "c")
    part = workload("StatefulSet", "something-c", cluster)
    rule = {**resource("VMSingle", "x"), "kind": "VMUser"}
    single, distributed = resource("VMSingle", "s"), resource("VMDistributed", "d")
    of_single, of_parent = workload("ReplicaSet", "r", single), workload("Deployment", "r", distributed)
    of_parents = workload("ReplicaSet", "r-1", of_parent)
    return {
        "VMFoo mon/x": (pod(direct), [new, direct]),
        "VMFoo mon/x, through a Deployment": (pod(replicas), [new, deployment, replicas]),
        "VMFoo mon/x, through nothing": (pod(new), [new]),
        "VMGalaxy mon/p": (pod(childs), [parent, child, childs]),
        "StatefulSet mon/something-c, which is no known component of VMCluster mon/c": (pod(part), [cluster, part]),
        "VMSingle mon/s, the controller of a Pod": (pod(single), [single]),
        "VMSingle mon/s, the controller of a ReplicaSet": (pod(of_single), [single, of_single]),
        "VMDistributed mon/d, the controller of a Deployment": (
            pod(of_parents),
            [distributed, of_parent, of_parents],
        ),
        "VMUser mon/x": (pod(workload("DaemonSet", "d", rule)), [rule, workload("DaemonSet", "d", rule)]),
    }


@pytest.mark.parametrize("owner", _unknown_kinds())
@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_a_pod_of_an_unknown_kind_is_allowed_unchanged_and_named(owner, webhook):
    """A new operator release may bring kinds that this version does not know; their pods keep running."""
    decision = decide(*_unknown_kinds()[owner], webhook=webhook)
    assert (decision.outcome, decision.allowed, decision.patch) == ("unknown-kind", True, ())
    assert owner.partition(", through")[0] in decision.warnings[0]
    assert decision.annotations["decision"].startswith(f"unknown-kind: {owner.partition(', through')[0]}")


@pytest.mark.parametrize("owner", _unknown_kinds())
@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_a_pod_of_an_unknown_kind_is_denied_under_deny(owner, webhook):
    """Under deny nothing runs that vmguard could not check; the message names the kind."""
    decision = decide(*_unknown_kinds()[owner], webhook=webhook, VMGUARD_ENFORCE="deny")
    assert (decision.outcome, decision.allowed, decision.patch) == ("denied", False, ())
    assert owner.partition(", through")[0] in decision.message
    audited = decide(*_unknown_kinds()[owner], webhook=webhook, VMGUARD_ENFORCE="deny", VMGUARD_MODE="audit")
    assert (audited.outcome, audited.allowed) == ("would-deny", True)
    assert owner.partition(", through")[0] in audited.warnings[0]


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_a_resource_of_an_unknown_kind_gets_a_warning_at_apply(mode):
    """The kind of its controller is unknown, so its pods are not secured; vmguard still checks its references."""
    parent = {**resource("VMDistributed", "p"), "kind": "VMGalaxy"}
    child = resource("VMSingle", "p-a", {"useStrictSecurity": False}, parent)
    decision = decide(child, [parent], webhook="validate", minor=24, VMGUARD_MODE=mode)
    assert (decision.outcome, decision.allowed) == ("unknown-kind", True)
    assert "VMSingle mon/p-a belongs to VMGalaxy mon/p" in decision.warnings[0]
    child["spec"]["podSecurityPolicyName"] = "gone"
    missing = decide(child, [parent], webhook="validate", minor=24, VMGUARD_MODE=mode)
    assert missing.outcome == ("denied" if mode == "enforce" else "would-deny")
    known = resource("VMSingle", "q-a", {}, resource("VMDistributed", "q"))
    assert decide(known, [], webhook="validate", VMGUARD_MODE=mode).outcome == "warned"


def test_the_pods_of_a_job_are_unmanaged():
    """No operator makes Jobs, so vmguard does not look up who controls one."""
    owner = {**resource("VMSingle", "x"), "kind": "VMFoo"}
    job = {**workload("Job", "j", owner), "apiVersion": "batch/v1"}
    assert decide(pod(job), [owner, job], VMGUARD_ENFORCE="deny").outcome == "unmanaged"


def test_the_name_of_an_unknown_kind_is_cut_and_stays_on_one_line():
    """Kind and name come from a tenant: neither fills the log nor forges a line of it."""
    kind = "VM\n" + "x" * 100_000
    decision = decide(pod({**resource("VMSingle", "n" * 100_000), "kind": kind}), [])
    assert decision.outcome == "unknown-kind"
    assert len(decision.warnings[0]) <= 500
    assert len(decision.annotations["decision"]) <= 500
    assert "\n" not in decision.warnings[0]


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
@pytest.mark.parametrize("level", ["ReplicaSet", "Deployment", "VMSingle"])
def test_an_owner_without_uid_is_no_owner(level, webhook):
    """The API server stores no owner reference without a UID, so such a pod says nothing about a resource."""
    cr = resource("VMSingle", spec={"useStrictSecurity": True})
    deployment = workload("Deployment", "vmsingle-db", cr)
    replicas = workload("ReplicaSet", "vmsingle-db-1", deployment)
    asked = pod(replicas)
    referring = {"ReplicaSet": asked, "Deployment": replicas, "VMSingle": deployment}[level]
    del referring["metadata"]["ownerReferences"][0]["uid"]
    decision = decide(asked, [cr, deployment, replicas], webhook=webhook, VMGUARD_ENFORCE="deny")
    assert (decision.outcome, decision.allowed, decision.patch) == ("unmanaged", True, ())


@pytest.mark.parametrize("kind", ["ReplicaSet", "Deployment", "VMSingle"])
@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_what_cannot_be_known_is_refused_with_the_reason(kind, webhook):
    asked, objects = vmsingle()
    decision = decide(asked, source=Answers({kind: UNREACHABLE}, objects), webhook=webhook)
    assert decision.outcome == "refused"
    assert kind in decision.refused
    assert "HTTP 503 from the API server" in decision.refused


@pytest.mark.parametrize("environment", [{"VMGUARD_UNKNOWN": "allow"}, {"VMGUARD_MODE": "audit"}])
def test_what_cannot_be_known_is_let_through_untouched_where_asked(environment):
    asked, objects = vmsingle()
    decision = decide(asked, source=Answers({"VMSingle": UNREACHABLE}, objects), **environment)
    assert (decision.outcome, decision.allowed, decision.patch) == ("unknown", True, ())
    assert decision.warnings[0].endswith("[workload]")


def test_an_unknown_parent_is_not_guessed_either():
    parent = resource("VMDistributed", "d")
    cr = resource("VMSingle", "d-a", {"useStrictSecurity": False}, parent)
    owner = workload("Deployment", "x", cr)
    replicas = workload("ReplicaSet", "y", owner)
    source = Answers({"VMDistributed": Unknown("timed out", "live")}, [parent, cr, owner, replicas])
    assert decide(pod(replicas), source=source).outcome == "refused"


def test_a_mirror_pod_is_skipped_when_a_node_made_the_request_only():
    annotations = {"kubernetes.io/config.mirror": "x"}
    asked, objects = vmsingle(None, None, annotations=annotations)
    node = {"userInfo": {"username": "system:node:n1", "groups": ["system:nodes"]}}
    assert decide(asked, objects, review=node).outcome == "ignored"
    assert decide(asked, objects).outcome == "patched"
    assert decide(asked, objects, review={"userInfo": {"username": "system:node:n1"}}).outcome == "patched"


@pytest.mark.parametrize(
    "review",
    [
        {"subResource": "ephemeralcontainers"},
        {"operation": "UPDATE"},
        {"operation": "DELETE"},
        {"kind": {"group": "", "version": "v1", "kind": "ConfigMap"}},
        {"kind": {"group": "metrics.k8s.io", "version": "v1", "kind": "Pod"}},
    ],
)
def test_what_is_not_ours_is_allowed_without_a_patch(review):
    asked, objects = vmsingle()
    decision = decide(asked, objects, review=review)
    assert (decision.outcome, decision.allowed, decision.patch) == ("ignored", True, ())


def test_only_watched_namespaces_are_touched():
    asked, objects = vmsingle()
    assert decide(asked, objects, WATCH_NAMESPACE="a, b").outcome == "ignored"
    assert decide(asked, objects, WATCH_NAMESPACE="a,mon").outcome == "patched"
