"""Modes, enforcement and PodSecurityPolicy references, and the texts that people read."""

import pytest

from tests.support.sample_pods import UNREACHABLE, Answers, decide, resource, reviewed, vmsingle, workload
from webhook.policy.wording import facts_line

POLICY = {"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "restricted-vm"}}


def _namespace(label):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mon", "labels": {"vmguard/enforce": label}}}


def test_audit_changes_nothing_and_tells_all():
    asked, objects = vmsingle()
    decision = decide(asked, objects, VMGUARD_MODE="audit")
    assert (decision.outcome, decision.patch, decision.allowed) == ("would-patch", (), True)
    assert decision.annotations["decision"] == "would-patch"
    assert decision.annotations["rules"] == "security-context=13"
    assert len(decision.changes) == 13


def test_audit_denies_nothing():
    cr = resource("VMSingle", spec={"podSecurityPolicyName": "gone"})
    decision = decide(cr, [], webhook="validate", minor=24, VMGUARD_MODE="audit")
    assert (decision.outcome, decision.allowed) == ("would-deny", True)
    assert "which does not exist" in decision.annotations["decision"]
    assert decision.warnings[0].startswith("would be denied (VMGUARD_MODE=audit): VMSingle ")
    assert decision.warnings[0].endswith(" create it or correct the name [pod-security-policy]")


def test_who_would_be_denied_a_pod_is_warned_in_audit_mode():
    asked, objects = vmsingle()
    decision = decide(asked, objects, webhook="validate", VMGUARD_MODE="audit", VMGUARD_ENFORCE="deny")
    assert (decision.outcome, decision.allowed) == ("would-deny", True)
    assert decision.warnings[0].startswith(
        "would be denied (VMGUARD_MODE=audit): not compliant: spec.securityContext.runAsNonRoot is not true "
    )


@pytest.mark.parametrize(
    ("enforce", "label", "outcome"),
    [
        ("off", None, "unchanged"),
        ("warn", None, "warned"),
        ("deny", None, "denied"),
        ("off", "warn", "warned"),
        ("warn", "deny", "denied"),
        ("deny", "warn", "denied"),
        ("warn", "off", "warned"),
        ("warn", "nonsense", "warned"),
    ],
)
def test_validation_is_the_same_rules_and_a_namespace_may_tighten_it(enforce, label, outcome):
    asked, objects = vmsingle()
    given = [*objects, _namespace(label)] if label else objects
    decision = decide(asked, given, webhook="validate", VMGUARD_ENFORCE=enforce)
    assert (decision.outcome, decision.patch) == (outcome, ())
    assert decision.allowed is (outcome != "denied")


def test_a_denied_pods_message_lists_path_wanted_and_who_asked():
    asked, objects = vmsingle()
    message = decide(asked, objects, webhook="validate", VMGUARD_ENFORCE="deny").message
    assert message.startswith(
        "not compliant: spec.securityContext.runAsNonRoot is not true (VM_ENABLESTRICTSECURITY); "
    )
    assert message.endswith("; and 8 more")


def test_an_admitted_pod_is_compliant():
    from tests.support.sample_pods import patched  # noqa: PLC0415

    asked, objects = vmsingle()
    done = patched(asked, decide(asked, objects))
    assert decide(done, objects, webhook="validate", VMGUARD_ENFORCE="deny").outcome == "unchanged"


def test_annotations_say_what_was_decided_and_by_which_facts():
    asked, objects = vmsingle()
    decision, looked_up = reviewed(asked, objects)
    assert facts_line(looked_up) == "ReplicaSet=found/file, Deployment=found/file, VMSingle=found/file"
    assert decision.annotations == {
        "decision": "patched",
        "workload": "vmsingle of VMSingle mon/db",
        "posture": "strict (VM_ENABLESTRICTSECURITY=true), automount (VMGUARD_DISABLE_AUTOMOUNT=false)",
        "rules": "security-context=13",
    }


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_a_resource_that_names_a_missing_policy_is_denied_with_names_like_it(webhook):
    cr = resource("VMSingle", spec={"podSecurityPolicyName": "restricted-mv"})
    assert decide(cr, [POLICY], webhook=webhook, minor=24).message == (
        "VMSingle mon/db spec.podSecurityPolicyName names PodSecurityPolicy 'restricted-mv', which does not exist"
        " among the objects given; existing names like it: restricted-vm: create it or correct the name"
    )


def test_a_resource_that_names_an_existing_policy_is_allowed():
    cr = resource("VMCluster", spec={"vmselect": {"podSecurityPolicyName": "restricted-vm"}})
    decision = decide(cr, [POLICY], webhook="validate", minor=24)
    assert (decision.allowed, decision.warnings) == (True, ())


@pytest.mark.parametrize(
    ("kind", "spec", "place"),
    [
        ("VMCluster", {"podSecurityPolicyName": "x"}, "spec"),
        ("VMCluster", {"vmstorage": {"podSecurityPolicyName": "x"}}, "spec.vmstorage"),
        (
            "VMCluster",
            {"requestsLoadBalancer": {"spec": {"podSecurityPolicyName": "x"}}},
            "spec.requestsLoadBalancer.spec",
        ),
        ("VMDistributed", {"vmauth": {"spec": {"podSecurityPolicyName": "x"}}}, "spec.vmauth.spec"),
        (
            "VMDistributed",
            {"zones": [{"name": "a", "vmcluster": {"spec": {"vmselect": {"podSecurityPolicyName": "x"}}}}]},
            "spec.zones[a].vmcluster.spec.vmselect",
        ),
    ],
)
def test_a_reference_is_found_wherever_it_may_stand(kind, spec, place):
    message = decide(resource(kind, spec=spec), [], webhook="validate", minor=24).message
    assert message.startswith(f"{kind} mon/db {place}.podSecurityPolicyName names PodSecurityPolicy 'x'")


def test_without_the_api_creating_or_changing_a_reference_is_denied_and_keeping_it_is_not():
    cr = resource("VMSingle", spec={"podSecurityPolicyName": "x"})
    assert "policy/v1beta1 was removed in Kubernetes 1.25" in decide(cr, [], minor=25).message
    changed = {"oldObject": resource("VMSingle", spec={"podSecurityPolicyName": "y"})}
    assert not decide(cr, [], minor=25, operation="UPDATE", review=changed).allowed
    kept = decide(cr, [], minor=25, operation="UPDATE", review={"oldObject": cr})
    assert kept.allowed
    assert kept.warnings[0].endswith("[pod-security-policy]")


def test_an_annotation_that_a_resource_gives_its_pods_names_a_policy_too():
    annotated = {"podMetadata": {"annotations": {"kubernetes.io/psp": "restricted-mv"}}}
    cr = resource("VMCluster", spec={"vmselect": annotated})
    assert decide(cr, [POLICY], webhook="validate", minor=24).message.startswith(
        "VMCluster mon/db spec.vmselect.podMetadata.annotations[kubernetes.io/psp] names PodSecurityPolicy"
        " 'restricted-mv', which does not exist"
    )
    zoned = resource("VMDistributed", spec={"zoneCommon": {"vmagent": {"spec": annotated}}, "zones": [{"name": "a"}]})
    assert not decide(zoned, [POLICY], webhook="validate", minor=24).allowed
    assert decide(cr, [POLICY], webhook="validate", minor=24, operation="UPDATE", review={"oldObject": cr}).allowed
    unserved = decide(cr, [], webhook="validate", minor=25)
    assert unserved.allowed
    assert unserved.warnings[0].endswith("[pod-security-policy]")
    annotated["podMetadata"]["annotations"]["kubernetes.io/psp"] = "restricted-vm"
    assert decide(cr, [POLICY], webhook="validate", minor=24).allowed


def test_a_pod_restarts_on_an_upgraded_cluster_with_a_warning():
    asked, objects = vmsingle({"podSecurityPolicyName": "x"})
    decision = decide(asked, objects, minor=30)
    assert decision.outcome == "patched"
    assert "removed in Kubernetes 1.25" in decision.warnings[0]


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_a_pod_whose_policy_is_missing_is_denied_by_both(webhook):
    asked, objects = vmsingle({}, None, annotations={"kubernetes.io/psp": "gone"})
    decision = decide(asked, objects, minor=24, webhook=webhook)
    assert not decision.allowed
    assert decision.message.startswith("Pod mon/db-0 annotation kubernetes.io/psp names PodSecurityPolicy 'gone'")


def test_could_not_ask_never_denies():
    cr = resource("VMSingle", spec={"podSecurityPolicyName": "x"})
    decision = decide(cr, source=Answers({"PodSecurityPolicy": UNREACHABLE}, []))
    assert decision.allowed
    assert decision.warnings == (
        "VMSingle mon/db spec.podSecurityPolicyName names PodSecurityPolicy 'x'; whether it exists is not known: HTTP"
        " 503 from the API server [pod-security-policy]",
    )


def test_a_parents_postures_are_those_of_its_children():
    spec = {
        "vmauth": {"spec": {"useStrictSecurity": False}},
        "zoneCommon": {"vmsingle": {"spec": {"securityContext": {}}}},
        "zones": [{"name": "a"}, {"name": "b", "vmsingle": {"spec": {"retentionPeriod": "2"}}}],
    }
    decision = decide(resource("VMDistributed", "d", spec), [], webhook="validate")
    assert [(p.component.name, p.security_context) for p in decision.postures] == [
        ("vmsingle", "custom"),
        ("vmsingle", "custom"),
        ("vmauth", "off"),
    ]


def test_warnings_are_one_line_and_end_with_their_rule():
    cr = resource("VMCluster", "c", {"podSecurityPolicyName": "a\nb"})
    sts = workload("StatefulSet", "vmselect-c", cr)
    from tests.support.sample_pods import pod  # noqa: PLC0415

    (warning,) = decide(pod(sts), [cr, sts], minor=30).warnings
    assert "\n" not in warning
    assert warning.endswith(" [pod-security-policy]")


def test_a_policy_that_is_named_elsewhere_now_was_named_before():
    """An update that moves a name is no change of it; one that names it a second time is."""
    root = resource("VMCluster", spec={"podSecurityPolicyName": "x", "vmselect": {}})
    moved = resource("VMCluster", spec={"vmselect": {"podSecurityPolicyName": "x"}})
    twice = resource("VMCluster", spec={"podSecurityPolicyName": "x", "vmselect": {"podSecurityPolicyName": "x"}})
    assert decide(moved, [], minor=25, operation="UPDATE", review={"oldObject": root}).allowed
    assert not decide(twice, [], minor=25, operation="UPDATE", review={"oldObject": root}).allowed


@pytest.mark.parametrize(
    "name", ["spec.containers[9].securityContext.x", f"spec.containers[{'9' * 5000}].securityContext.x"]
)
def test_a_name_that_looks_like_a_place_is_a_name(name):
    """A resource is applied although its webhook fails, so one that makes it fail would escape every denial."""
    spec = {"podSecurityPolicyName": "x", "useStrictSecurity": True, "containers": [{"name": name}]}
    volumes = {
        "volumes": [{"name": name, "hostPath": {"path": "/x"}}],
        "volumeMounts": [{"name": name, "mountPath": "/d"}],
    }
    for each in (spec, {**spec, **volumes}):
        assert "names PodSecurityPolicy 'x'" in decide(resource("VMSingle", spec=each), [], minor=24).message
