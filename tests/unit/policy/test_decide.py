"""Mode and enforcement turn findings into a decision, and people can read the reasons."""

import json
from base64 import b64decode

import msgspec
import pytest

from tests.support.golden import CASES
from tests.support.sample_pods import admitted, decide, patched, pod, resource, reviewed, vmsingle, workload
from webhook.offline.file_facts import FileFacts
from webhook.policy.decide import enforcement_unknown, unknown
from webhook.policy.findings import Violation
from webhook.policy.wording import MOST_TOLD, dotted, facts_line
from webhook.policy.workload import UnknownOwner
from webhook.settings import Settings


def _namespace(label):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mon", "labels": {"vmguard/enforce": label}}}


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_what_is_reported_of_a_decision_is_made_of_its_patch_and_its_findings(webhook):
    """The encoded patch is the patch; the tally counts each finding once and has the first violations."""
    tallied = set()
    for case in CASES:
        decision, _ = admitted(case.review, FileFacts(case.objects, 37), Settings.from_environment({}), webhook)
        decoded = json.loads(b64decode(decision.encoded_patch)) if decision.encoded_patch else []
        assert decoded == msgspec.to_builtins(list(decision.patch))
        labels = [(finding.rule, finding.kind) for finding in decision.findings]
        assert dict(decision.tally.counts) == {each: labels.count(each) for each in labels}
        violations = [finding for finding in decision.findings if isinstance(finding, Violation)]
        assert list(decision.tally.violations) == [
            f"{dotted(each.path)} (container {each.container!r}): {each.why}" for each in violations[:MOST_TOLD]
        ]
        tallied |= {kind for _, kind in labels}
    assert tallied == {"change", "violation", "warn"}


def test_audit_changes_nothing_and_reports_all():
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
        ("warn", "nonsense", "denied"),
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


def test_a_parents_postures_are_those_of_its_children():
    spec = {
        "vmauth": {"spec": {"useStrictSecurity": False}},
        "zoneCommon": {"vmsingle": {"spec": {"securityContext": {}}}},
        "zones": [{"name": "a"}, {"name": "b", "vmsingle": {"spec": {"retentionPeriod": "2"}}}],
    }
    decision = decide(resource("VMDistributed", "d", spec), [], webhook="validate")
    assert [(p.component.name, p.security_context) for p in decision.postures] == [
        ("vmagent", "strict"),
        ("vmagent", "strict"),
        ("vmsingle", "custom"),
        ("vmsingle", "custom"),
        ("vmauth", "off"),
    ]


def test_warnings_are_one_line_and_end_with_their_rule():
    cr = resource("VMCluster", "c", {"podSecurityPolicyName": "a\nb"})
    sts = workload("StatefulSet", "vmselect-c", cr)
    (warning,) = decide(pod(sts, {"containers": [{"name": "vmselect"}]}), [cr, sts], minor=30).warnings
    assert "\n" not in warning
    assert warning.endswith(" [pod-security-policy]")


def test_a_decision_whose_patch_would_not_be_answered_cannot_be_made():
    """`encoded_patch` is what the response carries."""
    asked, objects = vmsingle()
    decision = decide(asked, objects)
    assert decision.patch
    with pytest.raises(ValueError, match="encoded_patch"):
        msgspec.structs.replace(decision, encoded_patch="")


@pytest.mark.parametrize("of", ["owner", "labels"])
def test_a_refusal_names_the_label_of_the_namespace_before_the_setting_for_all_and_what_each_costs(of):
    """A person at night takes the first way that is named."""
    settings = Settings.from_environment({})
    if of == "owner":
        refused = unknown(UnknownOwner("WHY"), settings).refused
    else:
        asked, objects = vmsingle()
        refused = enforcement_unknown(decide(asked, objects), "mon", "WHY", settings).refused
    label, setting = refused.index("label its namespace vmguard.io/exempt=true"), refused.index("VMGUARD_UNKNOWN=allow")
    assert refused.index("WHY") < label < setting
    assert "neither fills nor denies pods there" in refused[label:setting]
    assert "in all namespaces" in refused[setting:]
