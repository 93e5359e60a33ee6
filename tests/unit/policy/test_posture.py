"""Of several settings the most specific one decides, and a parent's setting decides for its children."""

import pytest

from tests.support.sample_pods import decide, pod, resource, workload


@pytest.mark.parametrize(
    ("root", "part", "environment", "asked"),
    [
        (None, None, "true", "VM_ENABLESTRICTSECURITY=true"),
        (None, None, "false", "VM_ENABLESTRICTSECURITY=false"),
        (True, None, "false", "VMCluster mon/c spec.useStrictSecurity=true"),
        (True, False, "true", "VMCluster mon/c spec.vmselect.useStrictSecurity=false"),
        (False, True, "false", "VMCluster mon/c spec.vmselect.useStrictSecurity=true"),
    ],
)
@pytest.mark.parametrize("name", ["vmselect-c", "c-vmselect"])
def test_a_components_setting_goes_before_the_resources_and_that_before_the_default(
    root, part, environment, asked, name
):
    spec = {"vmselect": {"useStrictSecurity": part}, "useStrictSecurity": root}
    cr = resource("VMCluster", "c", spec)
    sts = workload("StatefulSet", name, cr)
    asked_pod = pod(sts, {"containers": [{"name": "vmselect"}]})
    decision = decide(asked_pod, [cr, sts], VM_ENABLESTRICTSECURITY=environment)
    assert decision.postures[0].because[0] == asked
    assert bool(decision.patch) is asked.endswith("=true")


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        ({}, "VM_ENABLESTRICTSECURITY=true"),
        (
            {"zoneCommon": {"vmsingle": {"spec": {"useStrictSecurity": False}}}},
            "VMDistributed mon/d spec.zoneCommon.vmsingle.spec.useStrictSecurity=false",
        ),
        (
            {
                "zoneCommon": {"vmsingle": {"spec": {"useStrictSecurity": False}}},
                "zones": [{"name": "a"}, {"name": "b", "vmsingle": {"spec": {"useStrictSecurity": True}}}],
            },
            "VMDistributed mon/d spec.zones[b].vmsingle.spec.useStrictSecurity=true",
        ),
    ],
)
def test_a_parents_setting_decides_for_its_children_and_their_own_does_not(spec, asked):
    parent = resource("VMDistributed", "d", spec)
    cr = resource("VMSingle", "d-b", {"useStrictSecurity": False}, parent)
    deployment = workload("Deployment", "vmsingle-d-b", cr)
    replicas = workload("ReplicaSet", "vmsingle-d-b-1", deployment)
    decision = decide(pod(replicas), [parent, cr, deployment, replicas])
    assert decision.postures[0].because[0] == asked
