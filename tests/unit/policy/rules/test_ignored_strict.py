"""ignored-strict: `useStrictSecurity: true` beside a securityContext of the same component is a warning."""

import pytest
import yaml

from tests.support.preview_warnings import warnings_on
from tests.support.sample_pods import decide, resource
from webhook.cli.explain import TEXTS

COMPLETE = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "fsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
RULE_TEXT = TEXTS["ignored-strict"]
BOTH = {"useStrictSecurity": True, "securityContext": {}}
ALL = "runAsNonRoot, runAsUser, runAsGroup, fsGroup and 4 more"


def _without(field):
    return {name: value for name, value in COMPLETE.items() if name != field}


def _line(place, missing):
    text = f"{place}: useStrictSecurity: true has no effect beside securityContext, which leaves out {missing}. Add"
    return [f"{text} these fields to securityContext, or remove securityContext [ignored-strict]"]


@pytest.mark.parametrize(
    ("context", "missing"),
    [
        ({}, ALL),
        (COMPLETE, ""),
        (_without("fsGroup"), "fsGroup"),
        (_without("capabilities"), "capabilities.drop"),
        ({**_without("runAsUser"), "runAsGroup": None}, "runAsUser, runAsGroup"),
        ({**COMPLETE, "readOnlyRootFilesystem": False}, ""),
        ({**_without("runAsNonRoot"), "runAsUser": 0}, ""),
        ({**_without("allowPrivilegeEscalation"), "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}, ""),
    ],
    ids=str,
)
def test_the_warning_names_what_strict_security_would_fill_and_can(context, missing):
    """A value that is set counts as wanted, and so does what follows from it, such as user 0."""
    found = warnings_on("VMSingle", {"useStrictSecurity": True, "securityContext": context}, "ignored-strict")
    assert found == (_line("vmsingle", missing) if missing else [])


@pytest.mark.parametrize(
    ("kind", "spec", "place"),
    [
        ("VMAgent", {"securityContext": {}}, ""),
        ("VMAgent", {"useStrictSecurity": False, "securityContext": {}}, ""),
        ("VMAgent", {"useStrictSecurity": True}, ""),
        ("VMCluster", {"useStrictSecurity": True, "vmselect": {"securityContext": {}}}, ""),
        ("VMCluster", {"vmselect": BOTH}, "vmselect"),
        ("VLCluster", {"requestsLoadBalancer": {"enabled": True, "spec": BOTH}}, "vlclusterlb"),
        ("VMDistributed", {"zones": [{"name": "a", "vmagent": {"spec": BOTH}}]}, "zones[a].vmagent"),
        ("VMDistributed", {"zones": [{"name": "a"}], "zoneCommon": {"vmagent": {"spec": BOTH}}}, "zones[a].vmagent"),
        ("VMDistributed", {"zones": [{"name": "a"}], "vmauth": {"spec": BOTH}}, "vmauth"),
        (
            "VMDistributed",
            {
                "zones": [{"name": "a", "vmagent": {"spec": {"useStrictSecurity": True}}}],
                "zoneCommon": {"vmagent": {"spec": {"securityContext": {}}}},
            },
            "zones[a].vmagent",
        ),
        (
            "VMDistributed",
            {
                "zones": [{"name": "a", "vmagent": {"spec": {"useStrictSecurity": False}}}],
                "zoneCommon": {"vmagent": {"spec": BOTH}},
            },
            "",
        ),
        (
            "VMDistributed",
            {
                "zones": [{"name": "a", "vmagent": {"spec": {"securityContext": {}}}}],
                "zoneCommon": {"vmagent": {"spec": {"useStrictSecurity": True}}},
            },
            "",
        ),
    ],
    ids=str,
)
def test_both_must_stand_at_the_same_place(kind, spec, place):
    """Elsewhere useStrictSecurity is the default of several components, of which some may differ."""
    assert warnings_on(kind, spec, "ignored-strict") == (_line(place, ALL) if place else [])


def test_nothing_is_missing_that_the_platform_sets_or_that_reads_files_of_the_node():
    on_platform = warnings_on("VMSingle", BOTH, "ignored-strict", VMGUARD_RUN_AS="platform")
    fields = "runAsNonRoot, seccompProfile, allowPrivilegeEscalation, readOnlyRootFilesystem and 1 more"
    assert on_platform == _line("vmsingle", fields)
    collector = {**BOTH, "k8sCollector": {"enabled": True}}
    fields = "fsGroup, seccompProfile, allowPrivilegeEscalation, readOnlyRootFilesystem and 1 more"
    assert warnings_on("VLAgent", collector, "ignored-strict") == _line("vlagent", fields)


def test_the_context_of_the_explanation_is_complete():
    example = yaml.safe_load(RULE_TEXT.partition("into it:")[2].partition("Source:")[0])
    assert warnings_on("VMSingle", {"useStrictSecurity": True, **example}, "ignored-strict") == []


def test_a_child_of_a_parent_has_the_warning_for_the_fields_of_the_parent_alone():
    """The operator writes its own default into the child, which does not count."""
    parent = resource("VMDistributed", "d", {"zones": [{"name": "a"}]})
    child = resource("VMAgent", "d-a", BOTH, owner=parent)
    decision = decide(child, [parent], webhook="validate", minor=37)
    assert not [each for each in decision.warnings if "ignored-strict" in each]
    parent["spec"]["zones"][0]["vmagent"] = {"spec": BOTH}
    decision = decide(child, [parent], webhook="validate", minor=37)
    assert [each for each in decision.warnings if "ignored-strict" in each] == _line("vmagent", ALL)
