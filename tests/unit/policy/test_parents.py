"""The settings of a parent apply to its children, and many zones are walked once."""

import json
import tracemalloc

import pytest

from tests.support.sample_pods import GROUP, UNREACHABLE, Answers, decide, owned_by, pod, resource, settings, workload
from webhook.facts import Absent, Ref
from webhook.policy.explanation import explain_pod
from webhook.policy.parents import layers_of_child
from webhook.policy.preview import PodsOfResource

PARENT = Ref("operator.victoriametrics.com", "v1alpha1", "VMDistributed", "mon", "d")


class Zones(list):
    """A list that counts how often it is walked; a list of the JSON kind otherwise."""

    walks = 0

    def __iter__(self):
        Zones.walks += 1
        return super().__iter__()


def _child(spec=None):
    parent = resource("VMDistributed", "d", spec or {})
    cr = resource("VMSingle", "d-a", {"useStrictSecurity": False}, parent)
    sts = workload("StatefulSet", "vmsingle-d-a", cr)
    return parent, [cr, sts], pod(sts)


def test_zones_are_read_once_for_any_number_of_lookups():
    spec = {"zones": Zones({"name": f"z{index}", "vmsingle": {"spec": {"x": 1}}} for index in range(300))}
    Zones.walks = 0
    assert len(list(PodsOfResource(PARENT, spec).workloads())) == 601, "a VMSingle and a VMAgent a zone, and the VMAuth"
    assert Zones.walks <= 4, "once for each kind of child"
    Zones.walks = 0
    assert layers_of_child(PARENT, spec, "VMSingle", "d-z299")[0][1] == {"x": 1}
    assert Zones.walks == 1


def test_the_posture_annotation_of_a_large_parent_is_short():
    zones = [{"name": f"z{index}", "vmsingle": {"spec": {"x": 1}}} for index in range(300)]
    decision = decide(resource("VMDistributed", "d", {"zones": zones}), [], webhook="validate")
    assert len(decision.postures) == 601
    assert decision.annotations["posture"].endswith("; and 571 more")


def test_where_the_parent_is_gone_the_default_counts_and_a_warning_says_so():
    _, objects, asked = _child()
    decision = decide(asked, objects)
    assert decision.outcome == "patched"
    assert decision.postures[0].because[0] == "VM_ENABLESTRICTSECURITY=true"
    assert decision.warnings == (
        "its parent VMDistributed mon/d is not among the objects given; where the parent's setting would count, the"
        " default does [workload]",
    )


def test_a_pod_whose_parent_cannot_be_known_is_not_guessed():
    _, objects, asked = _child()
    decision = decide(asked, source=Answers({"VMDistributed": UNREACHABLE}, objects))
    assert decision.outcome == "refused"


def test_a_resource_whose_parent_cannot_be_known_is_judged_with_a_warning():
    parent, objects, _ = _child({"vmauth": {}})
    del parent
    decision = decide(objects[0], source=Answers({"VMDistributed": UNREACHABLE}, objects), webhook="validate")
    assert decision.allowed
    assert "could not be read: HTTP 503" in decision.warnings[0]
    absent = decide(objects[0], source=Answers({"VMDistributed": Absent("live")}, objects), webhook="validate")
    assert "does not exist" in absent.warnings[0]


def test_a_parent_of_any_size_costs_in_proportion_and_says_what_is_left_out():
    """Zone and common words are not merged whole: ten thousand arguments for each of many zones would be copied."""
    arguments = {str(index): "x" for index in range(10000)}
    zones = [{"name": str(index), "vmagent": {"spec": {"extraArgs": {"z": "1"}}}} for index in range(600)]
    common = {"vmagent": {"spec": {"extraArgs": arguments, "securityContext": {"runAsUser": 1000}}}}
    pods = PodsOfResource(PARENT, {"zones": zones, "zoneCommon": common})
    made = list(pods.workloads())
    assert len(made) == 501
    assert made[0].spec == {"securityContext": {"runAsUser": 1000}, "ingestOnlyMode": True}
    decision = decide(resource("VMDistributed", "d", {"zones": zones}), [], webhook="validate")
    assert decision.warnings == (
        "VMDistributed mon/d has more than 500 zones: the last 100 are not judged here [workload]",
        "VMDistributed mon/d: of its zones 485 more are judged by their settings alone, not by their pods [workload]",
    )
    predicted = pods.predicted(settings())
    assert 0 < len(predicted) < 20
    assert len(predicted[0].workload.spec["extraArgs"]) == 10001


def test_the_names_of_many_zones_are_indexed_once():
    """A pod of a parent with many zones costs no walk over all of them; the first zone of a name counts."""
    zones = Zones({"name": f"z{index % 1500}", "vmsingle": {"spec": {"x": index}}} for index in range(2000))
    spec = {"zones": zones, "zoneCommon": {"vmsingle": {"spec": {"x": "common"}}}}
    Zones.walks = 0
    for index in (0, 1499, 700, 700):
        layers = layers_of_child(PARENT, spec, "VMSingle", f"d-z{index}")
        assert [layer["x"] for _, layer in layers] == [index, "common"]
        assert layers[0][0] == f"VMDistributed mon/d spec.zones[z{index}].vmsingle.spec"
    assert [layer["x"] for _, layer in layers_of_child(PARENT, spec, "VMSingle", "d-other")] == ["common"]
    assert Zones.walks == 1
    other = {"zones": list(zones)}
    assert layers_of_child(PARENT, other, "VMSingle", "d-z700")[0][1] == {"x": 700}


def _titles(spec, kind="VMDistributed"):
    ref = Ref("operator.victoriametrics.com", "v1alpha1", kind, "mon", "d")
    return [each.title for each in PodsOfResource(ref, spec).postures(settings())]


@pytest.mark.parametrize(
    ("spec", "titles"),
    [
        ({"zones": [{"name": "a"}]}, ["zones[a].vmagent (d-a)", "vmauth (d)"]),
        ({"zones": [{"name": "a"}], "vmauth": {"enabled": False}}, ["zones[a].vmagent (d-a)"]),
        ({"zones": [{"name": "a"}], "vmauth": {"enabled": False, "spec": {"port": "1"}}}, ["zones[a].vmagent (d-a)"]),
        (
            {"backendType": "VMSingle", "zones": [{"name": "a", "vmcluster": {"spec": {"vmselect": {}}}}]},
            ["zones[a].vmagent (d-a)", "zones[a].vmsingle (d-a)", "vmauth (d)"],
        ),
        (
            {"backendType": "VMCluster", "zones": [{"name": "a", "vmsingle": {"spec": {"port": "1"}}}]},
            ["zones[a].vmagent (d-a)", "vmauth (d)"],
        ),
        (
            {
                "zones": [{"name": "a", "vmagent": {"name": "own"}}],
                "zoneCommon": {"vmcluster": {"name": "c-%ZONE%", "spec": {"vmselect": {}}}},
                "vmauth": {"name": "gate"},
            },
            ["zones[a].vmagent (own)", "zones[a].vmcluster.vmselect (c-a)", "vmauth (gate)"],
        ),
    ],
    ids=str,
)
def test_the_children_are_those_that_the_operator_makes(spec, titles):
    """Each is named by its zone, its component and its own name."""
    assert _titles(spec) == titles
    of_logs = json.loads(json.dumps(spec).replace("vma", "vla").replace("vms", "vls").replace("vmc", "vlc"))
    of_logs = json.loads(json.dumps(of_logs).replace("VM", "VL").replace("vlauth", "vmauth"))
    assert _titles(of_logs, "VLDistributed") == [
        each.replace("vm", "vl").replace("vlauth", "vmauth") for each in titles
    ]


def test_an_agent_of_a_zone_only_passes_data_on():
    (agent, _) = PodsOfResource(PARENT, {"zones": [{"name": "a"}]}).predicted(settings())
    assert [each["name"] for each in agent.spec["containers"]] == ["vmagent"]


@pytest.mark.parametrize(
    ("parent", "agent", "field"),
    [
        ("VMDistributed", "vmagent", {"daemonSetMode": True}),
        ("VLDistributed", "vlagent", {"k8sCollector": {"enabled": True}}),
    ],
)
def test_a_field_that_the_parent_does_not_have_decides_nothing(parent, agent, field):
    """The API server drops it, so the operator makes no DaemonSet."""
    ref = Ref(GROUP, "v1alpha1", parent, "mon", "d")
    spec = {"zones": [{"name": "a"}], "zoneCommon": {agent: {"spec": field}}}
    predicted = PodsOfResource(ref, spec).predicted(settings())
    assert [each.workload.workload for each in predicted if each.workload.component.name == agent] != ["DaemonSet"]
    assert len(predicted) == 2


def test_zones_without_a_name_have_rows_of_their_own():
    off = {"vmagent": {"spec": {"useStrictSecurity": False}}}
    decision = decide(resource("VMDistributed", "d", {"zones": [{}, off]}), [], webhook="validate", minor=37)
    levels = [(each.who, each.changes > 0) for each in decision.predicted_levels if each]
    assert levels[:2] == [("zones[0].vmagent", True), ("zones[1].vmagent", False)]


@pytest.mark.parametrize("template", ["%ZONE%" * 8000, "x" * 48_000, "%ZONE%" * 40 + "x" * 300])
def test_names_that_are_too_long_cost_no_more_than_names(template):
    """A template times many zones would be gigabytes."""
    zones = [{"name": f"{index:0150}"} for index in range(300)]
    spec = {"zones": zones, "zoneCommon": {"vmagent": {"name": template}, "vmcluster": {"name": template}}}
    tracemalloc.start()
    pods = PodsOfResource(PARENT, spec)
    assert pods.postures(settings())
    assert pods.notes()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * 1024 * 1024


@pytest.mark.parametrize(
    ("template", "zone"),
    [("%ZONE%" * 50, "abc"), ("%ZONE%" * 50, ""), ("%ZONE%-x", "a" * 251), ("y" * 253, "abc"), ("y%ZONE%", "z" * 253)],
)
def test_a_name_is_whole_if_it_is_no_longer_than_a_name_may_be(template, zone):
    spec = {"zones": [{"name": zone}], "zoneCommon": {"vmagent": {"name": template}}}
    agent = next(PodsOfResource(PARENT, spec).workloads())
    whole = template.replace("%ZONE%", zone) or f"d-{zone}"
    assert agent.name == whole[:254]
    assert len(whole) > 253 or agent.name == whole


def test_a_zone_with_another_name_keeps_the_data_of_its_children():
    def parent(zone, user):
        context = {"runAsUser": user, "fsGroup": user}
        storage = {"storage": {"volumeClaimTemplate": {"spec": {}}}, "securityContext": context}
        return {"zones": [{"name": zone, "vmcluster": {"name": "c", "spec": {"vmstorage": storage}}}]}

    old = resource("VMDistributed", "d", parent("a", 1000))
    for zone in ("a", "b"):
        new = resource("VMDistributed", "d", parent(zone, 2000))
        decision = decide(new, [], webhook="validate", operation="UPDATE", review={"oldObject": old})
        assert any("was written as user 1000, pods will run as 2000" in each for each in decision.warnings)


REFUSED = "so the operator refuses the resource [workload]"


@pytest.mark.parametrize(
    ("spec", "notes"),
    [
        ({"zones": [{"name": "a"}, {"name": "b"}]}, []),
        ({"zones": [{}]}, ["spec.zones[0] has no name, so the API server or " + REFUSED.removeprefix("so ")]),
        ({"zones": [{"name": "a"}, {"name": "a"}]}, [f"spec.zones[1] has the name of another zone, a, {REFUSED}"]),
        (
            {"zones": [{"name": "a", "vmagent": {"name": "d-b"}}, {"name": "b"}]},
            [f"spec.zones[a].vmagent and spec.zones[b].vmagent are both VMAgent d-b, {REFUSED}"],
        ),
        (
            {"zones": [{"name": "a"}, {"name": "b"}], "zoneCommon": {"vmcluster": {"name": "main"}}},
            [f"spec.zones[a].vmcluster and spec.zones[b].vmcluster are both VMCluster main, {REFUSED}"],
        ),
        ({"zones": [{"name": "a"}, {"name": "b"}], "zoneCommon": {"vmcluster": {"name": "%ZONE%-x"}}}, []),
        ({"zones": [{"name": "a", "vmagent": {"name": "x"}, "vmcluster": {"name": "x"}}]}, []),
    ],
    ids=str,
)
def test_zones_and_children_with_one_name_are_named(spec, notes):
    decision = decide(resource("VMDistributed", "d", spec), [], webhook="validate", minor=37)
    assert [each for each in decision.warnings if each.endswith("[workload]")] == notes


def test_a_setting_is_named_where_the_parent_has_it():
    spec = {
        "zones": [{"name": "a", "vmcluster": {"spec": {"vmselect": {"securityContext": {}}}}}],
        "zoneCommon": {"vmagent": {"spec": {"disableAutomountServiceAccountToken": True}}},
    }
    agent, cluster, _ = PodsOfResource(PARENT, spec).postures(settings())
    place = "VMDistributed mon/d spec.zoneCommon.vmagent.spec.disableAutomountServiceAccountToken"
    assert agent.api_setting.place == place
    place = "VMDistributed mon/d spec.zones[a].vmcluster.spec.vmselect.securityContext"
    assert cluster.context_setting.place == place


def test_the_advice_on_a_childs_pod_names_the_field_of_the_parent():
    """The operator writes the child again, and its own useStrictSecurity does not count."""
    _, objects, asked = _child()
    parent = resource("VMDistributed", "d", {"zones": [{"name": "a", "vmsingle": {"spec": {}}}]})
    objects[0]["metadata"]["ownerReferences"] = owned_by(parent)
    text = explain_pod("t", decide(asked, [parent, *objects]), (), "")
    place = "VMDistributed mon/d spec.zones[a].vmsingle.spec"
    assert f"to let the operator set these values itself: {place}.useStrictSecurity: true" in text
    assert f"to differ: write {place}.securityContext" in text
