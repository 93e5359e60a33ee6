"""pod-security-policy: a reference to a missing PodSecurityPolicy is denied, and a reference that stays is not."""

import pytest

from tests.support.sample_pods import UNREACHABLE, Answers, decide, resource, reviewed, vmsingle
from webhook.policy.preview import PreviewRequest

POLICY = {"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "restricted-vm"}}


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
    other = {"oldObject": resource("VMSingle", spec={"podSecurityPolicyName": "x", "retentionPeriod": "1"})}
    kept = decide(cr, [], minor=25, operation="UPDATE", review=other)
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


def test_a_policy_that_cannot_be_looked_up_never_denies():
    cr = resource("VMSingle", spec={"podSecurityPolicyName": "x"})
    decision = decide(cr, source=Answers({"PodSecurityPolicy": UNREACHABLE}, []))
    assert decision.allowed
    assert decision.warnings == (
        "VMSingle mon/db spec.podSecurityPolicyName names PodSecurityPolicy 'x'; whether it exists is not known: HTTP"
        " 503 from the API server [pod-security-policy]",
    )


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


def test_a_reference_that_moves_with_its_zone_is_settled():
    zone = {"name": "a", "vmsingle": {"spec": {"podSecurityPolicyName": "gone"}}}
    old = resource("VMDistributed", "d", {"zones": [zone]})
    new = resource("VMDistributed", "d", {"zones": [{"name": "new"}, zone]})
    decision = decide(new, [], webhook="validate", minor=24, operation="UPDATE", review={"oldObject": old})
    assert decision.allowed
    assert "spec.zones[a].vmsingle.spec.podSecurityPolicyName" in decision.warnings[0]


def test_only_so_many_policies_are_looked_up():
    zones = [{"name": str(i), "vmagent": {"spec": {"podSecurityPolicyName": f"p{i}"}}} for i in range(300)]
    asked = resource("VMDistributed", "d", {"zones": zones})
    decision, looked_up = reviewed(asked, [], webhook="validate", minor=24)
    assert not decision.allowed
    assert len([link for link in looked_up if link.ref.kind == "PodSecurityPolicy"]) == 20
    assert len(decision.warnings) == 21
    assert decision.warnings[-1] == "and 260 warnings more [workload]"


def test_of_many_policies_the_last_is_looked_up_too():
    """Beyond the first 20 the names of all policies decide; with 500 or more of them the rest is not known."""
    zones = [{"name": str(i), "vmagent": {"spec": {"podSecurityPolicyName": f"p{i}"}}} for i in range(30)]
    asked = resource("VMDistributed", "d", {"zones": zones})
    there = [{**POLICY, "metadata": {"name": f"p{i}"}} for i in range(30)]
    assert decide(asked, there, webhook="validate", minor=24).allowed
    assert "'p29', which does not exist" in decide(asked, there[:-1], webhook="validate", minor=24).message
    others = [{**POLICY, "metadata": {"name": f"other{i}"}} for i in range(500)]
    unknown = decide(asked, [*there[:-1], *others], webhook="validate", minor=24)
    assert unknown.allowed
    assert any("more than 20 policies are named" in each for each in unknown.warnings)


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
def test_a_missing_policy_is_decided_before_any_preview(monkeypatch, operation):
    """A preview that takes too long, or is left out, cannot lose the denial."""

    def preview(request):
        raise AssertionError("it was previewed")

    monkeypatch.setattr(PreviewRequest, "preview", preview)
    asked = resource("VMCluster", "c", {"vmselect": {"podSecurityPolicyName": "gone"}})
    review = {"oldObject": resource("VMCluster", "c", {})} if operation == "UPDATE" else None
    decision = decide(asked, [], webhook="validate", minor=24, operation=operation, review=review)
    assert decision.outcome == "denied"
    assert "which does not exist" in decision.message
    assert [posture.component.name for posture in decision.postures] == ["vmselect"]
