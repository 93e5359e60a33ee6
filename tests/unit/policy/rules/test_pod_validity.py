"""pod-validity: a security context that no pod can have denies the resource that brings it, and no other request."""

import pytest

from tests.support.sample_pods import decide, resource

IMPOSSIBLE = {"privileged": True, "allowPrivilegeEscalation": False}
NON_ROOT = {"runAsNonRoot": True, "runAsUser": 0}
GROUPS = {"supplementalGroups": [-1]}
SIDE = {"name": "side", "securityContext": IMPOSSIBLE}


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
            "VMDistributed mon/db spec.zones[a].vmagent.spec.securityContext",
        ),
        (
            "VLDistributed",
            {"vmauth": {"spec": {"securityContext": IMPOSSIBLE}}},
            "VLDistributed mon/db spec.vmauth.spec.securityContext",
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
        ({"securityContext": {"runAsUser": -1}}, {"securityContext": {"runAsUser": -2}}, True),
        ({}, {"securityContext": IMPOSSIBLE}, False),
        ({"securityContext": IMPOSSIBLE}, {}, True),
    ],
)
def test_an_update_is_denied_for_the_fault_that_it_brings(before, after, allowed):
    decision = asked("VMSingle", after, before)
    assert decision.allowed is allowed
    settled = any(each.startswith("it was so before: VMSingle mon/db spec.") for each in decision.warnings)
    assert settled is ("securityContext" in before and "securityContext" in after and before != after)


def test_what_was_too_large_to_be_seen_before_is_no_reason_to_deny():
    large = {"volumes": [{"name": str(index), "hostPath": {}} for index in range(20000)]}
    decision = asked("VMSingle", {"securityContext": IMPOSSIBLE}, {"securityContext": IMPOSSIBLE, **large})
    assert decision.allowed


def test_a_fault_that_moves_with_its_zone_is_settled():
    fault = {"name": "last", "vmagent": {"spec": {"securityContext": IMPOSSIBLE}}}
    before = {"zones": [*({"name": str(index)} for index in range(30)), fault]}
    assert asked("VMDistributed", {"zones": [fault]}, before).allowed
    assert asked("VMDistributed", {"zones": [{"name": "new"}, fault]}, {"zones": [fault]}).allowed
    assert asked("VMDistributed", {"zones": [{**fault, "name": "new"}]}, {"zones": [fault]}).allowed
    assert not asked("VMDistributed", {"zones": [fault, {**fault, "name": "new"}]}, {"zones": [fault]}).allowed


def test_a_new_zone_does_not_bring_the_fault_that_is_said_of_all():
    common = {"zoneCommon": {"vmagent": {"spec": {"securityContext": NON_ROOT}}}}
    before, after = ({**common, "zones": [{"name": name} for name in names]} for names in ("a", "ab"))
    decision = asked("VMDistributed", after, before)
    assert decision.allowed
    assert decision.warnings[0].startswith(
        "it was so before: VMDistributed mon/db spec.zoneCommon.vmagent.spec.securityContext has runAsNonRoot: true"
    )
    assert not asked("VMDistributed", after, {"zones": after["zones"]}).allowed


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ({"containers": [SIDE]}, {"initContainers": [SIDE]}, True),
        ({"containers": [SIDE]}, {"containers": [{"name": "first"}, SIDE]}, True),
        ({"containers": [SIDE]}, {"containers": [{**SIDE, "name": "renamed"}]}, True),
        ({"containers": [SIDE]}, {"containers": [SIDE, {**SIDE, "name": "second"}]}, False),
        ({"containers": [SIDE]}, {"containers": [{**SIDE, "name": "one"}, {**SIDE, "name": "two"}]}, False),
        ({"securityContext": GROUPS}, {"securityContext": {"supplementalGroups": [-1, 5]}}, True),
    ],
)
def test_a_fault_that_only_moves_was_there_and_one_more_was_not(before, after, allowed):
    assert asked("VMSingle", after, before).allowed is allowed


@pytest.mark.parametrize("context", [{"privileged": True}, {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}], ids=str)
def test_a_patch_that_contradicts_the_strict_context_of_the_resource_is_denied_with_both_places(context):
    patch = {"containers": [{"name": "vmselect", "securityContext": context}]}
    decision = asked("VMCluster", {"useStrictSecurity": True, "vmselect": patch})
    assert decision.message.startswith(
        "VMCluster mon/db spec.useStrictSecurity sets allowPrivilegeEscalation: false;"
        " spec.vmselect.containers[vmselect].securityContext has "
    )
    assert asked("VMCluster", {"vmselect": patch}).allowed  # the operator's environment may ask for nothing
    context = {**context, "allowPrivilegeEscalation": True}
    patch = {"containers": [{"name": "vmselect", "securityContext": context}]}
    assert asked("VMCluster", {"useStrictSecurity": True, "vmselect": patch}).allowed
    user = {"containers": [{"name": "config-reloader", "securityContext": {"privileged": True}}]}
    assert asked("VMSingle", {"useStrictSecurity": True, **user}).allowed  # not every operator makes that container


def test_a_parents_word_on_a_child_is_named_as_the_parents():
    parent = resource("VMDistributed", "d", {"zoneCommon": {"vmsingle": {"spec": {"useStrictSecurity": True}}}})
    parent["spec"]["zones"] = [{"name": "a"}]
    patch = {"name": "vmsingle", "securityContext": {"privileged": True}}
    child = resource("VMSingle", "d-a", {"containers": [patch]}, owner=parent)
    assert decide(child, [parent], webhook="validate").message.startswith(
        "VMDistributed mon/d spec.zoneCommon.vmsingle.spec.useStrictSecurity sets allowPrivilegeEscalation: false;"
        " VMSingle mon/d-a spec.containers[vmsingle].securityContext has privileged: true: "
    )


def test_both_halves_of_a_contradiction_are_named():
    zone = {"name": "a", "vmsingle": {"spec": {"securityContext": {"privileged": True}}}}
    common = {"vmsingle": {"spec": {"securityContext": {"allowPrivilegeEscalation": False}}}}
    assert asked("VMDistributed", {"zones": [zone], "zoneCommon": common}).message.startswith(
        "VMDistributed mon/db spec.zoneCommon.vmsingle.spec.securityContext has allowPrivilegeEscalation: false;"
        " spec.zones[a].vmsingle.spec.securityContext has privileged: true: a privileged container always may escalate"
    )


def test_a_resource_that_is_being_deleted_is_not_judged():
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


@pytest.mark.parametrize(
    ("context", "since"),
    [
        ({"supplementalGroupsPolicy": "Other"}, 33),
        ({"seLinuxChangePolicy": "Other"}, 33),
        ({"procMount": "Other"}, 33),
        ({"windowsOptions": {"hostProcess": True}}, 23),
    ],
)
def test_a_field_counts_from_the_version_on_that_does_not_drop_it(context, since):
    assert asked("VMSingle", {"securityContext": context}, minor=since - 1).allowed
    assert not asked("VMSingle", {"securityContext": context}, minor=since).allowed


@pytest.mark.parametrize("name", ["net.core.somaxconn", "net/ipv4/ip_unprivileged_port_start"])
def test_a_sysctl_of_the_network_needs_a_network_of_the_pods_own(name):
    spec = {"port": "80", "securityContext": {"runAsUser": 5, "sysctls": [{"name": name, "value": "0"}]}}
    assert asked("VMAuth", spec).allowed
    decision = asked("VMAuth", {**spec, "hostNetwork": True})
    assert decision.message == (
        f'VMAuth mon/db spec.securityContext has sysctls: "{name}": no pod with hostNetwork: true may set a sysctl of'
        " the network, so that no such pod can run; correct it"
    )
    assert any("it cannot, as on the node ports begin at 1024" in each for each in decision.warnings)
    spec["securityContext"]["sysctls"][0]["name"] = "kernel.shm_rmid_forced"
    assert asked("VMAuth", {**spec, "hostNetwork": True}).allowed
