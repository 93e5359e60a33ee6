"""A security context that no pod can have denies the resource that brings it, and no other request."""

import pytest

from tests.support.pods import decide, resource

IMPOSSIBLE = {"privileged": True, "allowPrivilegeEscalation": False}
NON_ROOT = {"runAsNonRoot": True, "runAsUser": 0}


def asked(kind, spec, before=None, **more):
    review = {} if before is None else {"oldObject": resource(kind, spec=before)}
    operation = "CREATE" if before is None else "UPDATE"
    return decide(resource(kind, spec=spec), [], webhook="validate", operation=operation, review=review, **more)


@pytest.mark.parametrize(
    ("kind", "spec", "place"),
    [
        ("VMSingle", {"securityContext": IMPOSSIBLE}, "VMSingle mon/db spec.securityContext"),
        ("VMCluster", {"vmselect": {"securityContext": IMPOSSIBLE}}, "VMCluster mon/db spec.vmselect.securityContext"),
        (
            "VMCluster",
            {"requestsLoadBalancer": {"enabled": True, "spec": {"securityContext": IMPOSSIBLE}}},
            "VMCluster mon/db spec.requestsLoadBalancer.spec.securityContext",
        ),
        (
            "VMAgent",
            {"initContainers": [{"name": "x", "securityContext": IMPOSSIBLE}]},
            "VMAgent mon/db spec.initContainers[x].securityContext",
        ),
        (
            "VMDistributed",
            {"zones": [{"name": "a", "vmagent": {"spec": {"securityContext": IMPOSSIBLE}}}]},
            "VMAgent mon/db-a spec.securityContext",
        ),
        (
            "VLDistributed",
            {"vmauth": {"spec": {"securityContext": IMPOSSIBLE}}},
            "VMAuth mon/db spec.securityContext",
        ),
    ],
)
def test_the_message_names_the_place_and_what_contradicts(kind, spec, place):
    decision = asked(kind, spec)
    assert decision.message == (
        f"{place} has allowPrivilegeEscalation: false, privileged: true: a privileged container always may escalate,"
        " so that no such pod can run; correct it"
    )


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ({"securityContext": IMPOSSIBLE}, {"securityContext": IMPOSSIBLE}, True),
        ({"securityContext": IMPOSSIBLE}, {"securityContext": {**IMPOSSIBLE, "runAsUser": 5}}, True),
        ({"securityContext": IMPOSSIBLE}, {"securityContext": {**IMPOSSIBLE, **NON_ROOT}}, False),
        ({"securityContext": NON_ROOT}, {"securityContext": {**NON_ROOT, "runAsGroup": 5}}, True),
        ({"securityContext": {"runAsUser": -1}}, {"securityContext": {"runAsUser": -2}}, False),
        ({}, {"securityContext": IMPOSSIBLE}, False),
        ({"securityContext": IMPOSSIBLE}, {}, True),
    ],
)
def test_an_update_is_denied_for_the_fault_that_it_brings(before, after, allowed):
    decision = asked("VMSingle", after, before)
    assert decision.allowed is allowed
    settled = any(each.endswith("(it was so before) [pod-validity]") for each in decision.warnings)
    assert settled is (
        "securityContext" in before
        and set(before["securityContext"].items()) <= set(after.get("securityContext", {}).items())
    )


def test_what_was_too_large_to_be_seen_before_is_no_reason_to_deny():
    large = {"volumes": [{"name": str(index), "hostPath": {}} for index in range(20000)]}
    decision = asked("VMSingle", {"securityContext": IMPOSSIBLE}, {"securityContext": IMPOSSIBLE, **large})
    assert decision.allowed


def test_a_fault_that_moves_with_its_zone_is_settled():
    fault = {"name": "last", "vmagent": {"spec": {"securityContext": IMPOSSIBLE}}}
    before = {"zones": [*({"name": str(index)} for index in range(30)), fault]}
    assert asked("VMDistributed", {"zones": [fault]}, before).allowed
    assert asked("VMDistributed", {"zones": [{"name": "new"}, fault]}, {"zones": [fault]}).allowed
    assert not asked("VMDistributed", {"zones": [{**fault, "name": "new"}]}, {"zones": [fault]}).allowed


def test_a_resource_that_is_being_deleted_is_nobodys_to_judge():
    thing = resource("VMSingle", spec={"securityContext": IMPOSSIBLE, "podSecurityPolicyName": "gone"})
    thing["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    old = {"oldObject": resource("VMSingle", spec={})}
    decision = decide(thing, [], webhook="validate", minor=24, operation="UPDATE", review=old)
    assert (decision.outcome, decision.allowed, decision.warnings) == ("ignored", True, ())


def test_audit_mode_denies_nothing_and_says_what_it_would():
    decision = asked("VMSingle", {"securityContext": IMPOSSIBLE}, VMGUARD_MODE="audit")
    assert (decision.allowed, decision.outcome) == (True, "would-deny")
    assert decision.annotations["rules"].startswith("pod-validity=1")


def test_app_armor_fields_count_where_the_api_server_has_them():
    spec = {"securityContext": {"appArmorProfile": {"type": "Other"}}}
    assert asked("VMSingle", spec, minor=29).allowed
    assert not asked("VMSingle", spec, minor=30).allowed
