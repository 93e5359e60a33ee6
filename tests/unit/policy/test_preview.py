"""The warnings on a resource are about the pods that it will produce, few and each in its place."""

import pytest

from tests.support.preview_warnings import CLAIM, PASSES_RESTRICTED, warnings_on
from tests.support.sample_pods import decide, owned_by, resource


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VMAgent", {}),
        ("VMAgent", {"statefulMode": True, "statefulStorage": CLAIM["storage"]}),
        ("VMSingle", CLAIM),
        ("VMAlert", {}),
        ("VMAlertmanager", {"storage": {"volumeClaimTemplate": {}}}),
        ("VMAuth", {}),
        ("VLogs", CLAIM),
        ("VLSingle", CLAIM),
        ("VLAgent", {}),
        ("VTAgent", {}),
        ("VTSingle", {}),
        ("VMAnomaly", {}),
        ("VMCluster", {"vmselect": {}, "vmstorage": {}, "vminsert": {}, "requestsLoadBalancer": {"enabled": True}}),
        ("VLCluster", {"vlselect": {}, "vlstorage": {}, "vlinsert": {}}),
        ("VMEstimator", {"storage": {}, "select": {}}),
        ("VTCluster", {"select": {}, "storage": {}, "insert": {}}),
        ("VMDistributed", {"vmauth": {"spec": {}}, "zones": [{"name": "a", "vmcluster": {"spec": {"vmselect": {}}}}]}),
        ("VLDistributed", {"zones": [{"name": "a", "vlcluster": {"spec": {"vlselect": {}}}}]}),
    ],
)
def test_a_plain_strict_resource_of_any_kind_has_no_warning(kind, spec):
    assert warnings_on(kind, spec) == []


def test_the_same_pods_of_many_zones_have_one_warning():
    zones = [{"name": str(index), "vmsingle": {"spec": {"hostNetwork": True}}} for index in range(15)]
    (warning,) = warnings_on("VMDistributed", {"zones": zones})
    assert warning.startswith(
        "zones[0].vmsingle, zones[1].vmsingle, zones[2].vmsingle, zones[3].vmsingle and 11 more: Pod Security level"
        " privileged; not restricted: host names"
    )


def test_more_different_pods_than_one_request_may_cost_are_counted():
    zones = [
        {"name": str(i), **{child: {"spec": {"extraArgs": {"x": str(i)}}} for child in ("vmsingle", "vmagent")}}
        for i in range(20)
    ]
    assert warnings_on("VMDistributed", {"zones": zones, "vmauth": {"enabled": False}}) == []
    assert warnings_on("VMDistributed", {"zones": zones, "vmauth": {"spec": {"extraArgs": {"x": "1"}}}}) == [
        "more than 40 different pods or 400 containers: 1 of its workloads are not judged here [workload]"
    ]


def test_a_resource_of_any_size_costs_no_more_than_others_may_wait_for_and_says_what_is_left_out():
    side = [{"name": str(index), "image": "side"} for index in range(500)]
    assert warnings_on("VMSingle", {"containers": side}) == [
        "more than 40 different pods or 400 containers: 1 of its workloads are not judged here [workload]"
    ]
    large = {"volumes": [{"name": str(index), "hostPath": {}} for index in range(20000)]}
    assert warnings_on("VMSingle", large) == [
        "VMSingle mon/db is larger than 512 KiB: it is judged by its settings alone, not by its pods [workload]"
    ]


def test_the_settings_of_a_zone_and_of_all_zones_make_one_pod():
    common = {
        "vmsingle": {"spec": {"extraArgs": {"storageDataPath": "/x"}, "volumes": [{"name": "v", "emptyDir": {}}]}}
    }
    zone = {"name": "a", "vmsingle": {"spec": {"extraArgs": {"other": "1"}}}}
    assert len(warnings_on("VMDistributed", {"zones": [zone], "zoneCommon": common}, "read-only-root")) == 1
    zone["vmsingle"]["spec"]["volumeMounts"] = [{"name": "v", "mountPath": "/x"}]
    assert warnings_on("VMDistributed", {"zones": [zone], "zoneCommon": common}, "read-only-root") == []


ROOT = {"name": "side", "securityContext": {**PASSES_RESTRICTED, "runAsUser": 0}}
MANY = {
    "containers": [{"name": f"side-{n}", "image": "side", "securityContext": {"runAsUser": 0}} for n in range(3)],
    "volumes": [{"name": "shared", "nfs": {"server": "s", "path": "/p"}}],
    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
}


@pytest.mark.parametrize(
    ("kind", "spec", "place"),
    [
        ("VMSingle", {"initContainers": [ROOT]}, "vmsingle: initContainers[side]"),
        ("VMCluster", {"vmselect": {"containers": [ROOT]}}, "vmselect: containers[side]"),
        (
            "VMDistributed",
            {"zones": [{"name": "a", "vmagent": {"spec": {"containers": [ROOT]}}}]},
            "zones[a].vmagent: zones[a].vmagent.spec.containers[side]",
        ),
        (
            "VMDistributed",
            {"zones": [{"name": "a"}], "zoneCommon": {"vmcluster": {"spec": {"vmselect": {"containers": [ROOT]}}}}},
            "zones[a].vmcluster.vmselect: zoneCommon.vmcluster.spec.vmselect.containers[side]",
        ),
    ],
)
def test_a_place_is_where_the_object_applied_has_it(kind, spec, place):
    (warning,) = warnings_on(kind, spec, "security-context")
    assert warning.startswith(f"{place}.securityContext.runAsUser is 0, wanted not 0: ")


def test_a_setting_and_the_field_that_differs_are_both_in_the_object_applied():
    patch = {"spec": {"containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 5}}]}}
    spec = {
        "zones": [{"name": "a", "vmsingle": patch}],
        "zoneCommon": {"vmsingle": {"spec": {"securityContext": {"runAsUser": 1000}}}},
    }
    assert warnings_on("VMDistributed", spec, "security-context") == [
        "zones[a].vmsingle: zones[a].vmsingle.spec.containers[vmsingle].securityContext.runAsUser is 5; vmguard does"
        " not change it; VMDistributed mon/db spec.zoneCommon.vmsingle.spec.securityContext sets it to 1000"
        " [security-context]"
    ]


def test_a_pod_is_named_once_for_what_several_of_its_containers_have():
    common = {"vmagent": {"spec": {"securityContext": {"runAsUser": 0}}}}
    zones = [
        {"name": name, "vmagent": {"spec": {"containers": [{"name": "vmagent", "securityContext": {}}]}}}
        for name in "ab"
    ]
    for line in warnings_on("VMDistributed", {"zoneCommon": common, "zones": zones}):
        assert line.startswith("zones[a].vmagent, zones[b].vmagent: ")


def test_a_warning_that_several_components_share_is_given_once():
    parts = {"vmselect": MANY, "vminsert": MANY, "vmstorage": MANY}
    lines = warnings_on("VMCluster", parts)
    assert {line.partition(": ")[0] for line in lines} == {"vmstorage, vmselect, vminsert"}
    assert [line.rpartition(" ")[2] for line in lines] == [
        *["[security-context]"] * 3,
        "[pod-security]",
        "[sidecar]",
        "[volume-ownership]",
    ]
    assert "the main container is not root" in lines[-1]


def test_there_are_as_many_warnings_as_an_api_server_passes_on_whole():
    spec = {
        "containers": [
            {"name": f"{'x' * 200}-{n}", "image": "side", "securityContext": {"runAsUser": 0}} for n in range(40)
        ]
    }
    lines = warnings_on("VMSingle", spec)
    assert max(map(len, lines)) == 256
    assert sum(map(len, lines)) <= 4096
    assert all(line.endswith("]") for line in lines)
    assert lines[-1] == f"and {42 - len(lines) + 1} warnings more [workload]"


def test_a_command_to_copy_is_whole_where_the_warnings_are_few():
    def parent(**cluster):
        storage = {"storage": {"volumeClaimTemplate": {"spec": {}}}, **cluster}
        return {"zones": [{"name": "a", "vmcluster": {"spec": {"vmstorage": storage}}}]}

    old = resource("VMDistributed", spec=parent(useStrictSecurity=False))
    (line,) = warnings_on("VMDistributed", parent(), operation="UPDATE", review={"oldObject": old})
    assert len(line) > 256
    assert line.endswith(" -c vmstorage -- stat -- /vmstorage-data [volume-ownership]")


def test_a_field_that_cannot_be_read_is_a_warning_and_never_guessed():
    assert warnings_on("VMSingle", {"containers": [{"name": "side", "image": "side", "args": "x"}]}) == [
        "vmsingle: vmguard does not judge its pods: in the pod, spec.containers[1].args is a string but must be an"
        " array [workload]",
        "spec.containers[side].args is a string but must be an array, so the API server or the operator refuses it"
        " [workload]",
    ]


def test_the_child_of_a_parent_is_judged_by_what_its_own_spec_makes():
    parent = resource("VMDistributed", "d", {"zones": [{"name": "a"}]})
    child = resource("VMSingle", "d-a", {"useStrictSecurity": False, "extraArgs": {"storageDataPath": "/x"}})
    child["metadata"]["ownerReferences"] = owned_by(parent)
    decision = decide(child, [parent], webhook="validate")
    assert any(each.endswith("[read-only-root]") for each in decision.warnings)
