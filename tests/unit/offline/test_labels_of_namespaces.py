"""What is answered offline is what production answers in a namespace with these labels, and says why."""

import json

import msgspec
import pytest

from tests.support.sample_pods import resource, settings, vmsingle
from webhook.facts import NEWEST_MINOR
from webhook.offline.answer import answer
from webhook.offline.file_facts import FileFacts
from webhook.offline.inputs import sort_documents
from webhook.offline.judge import judge
from webhook.policy.enforcement import EXEMPT, LABEL, MODE_LABEL

WEAK = {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]}


def _namespace(name, labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _judged(labels, pod_spec=None, namespace="mon", **environment):
    """The judgement on a pod of a VMSingle, in a namespace with these labels."""
    pod, objects = vmsingle(None, pod_spec)
    moved = json.loads(json.dumps([pod, *objects]).replace('"mon"', f'"{namespace}"'))
    (item,) = sort_documents([("pod", moved[0])]).inputs
    source = FileFacts([*moved[1:], _namespace(namespace, labels)], NEWEST_MINOR)
    return judge(item, source, settings(**environment))


def test_in_a_trial_the_label_of_the_mode_enforces():
    trial, labelled = (_judged(labels, VMGUARD_MODE="audit") for labels in ({}, {MODE_LABEL: "enforce"}))
    assert (trial.decision.outcome, labelled.decision.outcome) == ("would-patch", "patched")
    assert trial.diff == "" != labelled.diff
    (note,) = set(labelled.decision.warnings) - set(trial.decision.warnings)
    assert note == (
        "namespace mon is enforced by its label vmguard.io/mode=enforce, although VMGUARD_MODE is audit [workload]"
    )


def test_both_labels_together_deny_in_a_trial():
    labels = {MODE_LABEL: "enforce", LABEL: "deny"}
    assert not _judged(labels, WEAK, VMGUARD_MODE="audit").allowed
    assert _judged({LABEL: "deny"}, WEAK, VMGUARD_MODE="audit").decision.outcome == "would-deny"


def test_an_unknown_value_of_the_mode_leaves_the_trial_and_says_so():
    judged = _judged({MODE_LABEL: "on"}, VMGUARD_MODE="audit")
    assert judged.decision.outcome == "would-patch"
    assert "vmguard.io/mode=on has no effect" in judged.decision.warnings[-1]


def test_without_a_trial_the_label_of_the_mode_changes_nothing():
    assert _judged({MODE_LABEL: "enforce"}).decision == _judged({}).decision == _judged({MODE_LABEL: "on"}).decision


@pytest.mark.parametrize("mode", ["audit", "enforce"])
@pytest.mark.parametrize(
    ("namespace", "labels", "why"),
    [
        ("mon", {EXEMPT: "true", LABEL: "deny", MODE_LABEL: "enforce"}, "its label vmguard.io/exempt=true exempts it"),
        ("kube-system", {}, "no entry for pods selects it"),
    ],
)
def test_where_vmguard_is_not_called_the_pod_is_allowed_unchanged(mode, namespace, labels, why):
    judged = _judged(labels, WEAK, namespace, VMGUARD_MODE=mode, VMGUARD_ENFORCE="deny")
    assert (judged.allowed, judged.pod, judged.diff) == (True, judged.input.object, "")
    warning = f"not secured: the API server does not call vmguard for namespace {namespace}: {why} [workload]"
    assert judged.decision.warnings == (warning,)
    assert json.loads(judged.answer)["response"]["warnings"] == [warning]


def test_an_exempt_namespace_has_its_resources_allowed_and_kube_system_has_them_judged():
    custom = resource("VMSingle", spec={"securityContext": {"runAsUser": 0, "runAsNonRoot": True}})
    outcomes = {}
    for namespace, labels in (("mon", {EXEMPT: "true"}), ("mon", {}), ("kube-system", {})):
        moved = {**custom, "metadata": {**custom["metadata"], "namespace": namespace}}
        (item,) = sort_documents([("resource", moved)]).inputs
        judged = judge(item, FileFacts([moved, _namespace(namespace, labels)], NEWEST_MINOR), settings())
        outcomes[namespace, bool(labels)] = judged.decision.outcome
    assert outcomes["mon", True] == "ignored"
    assert outcomes["mon", False] == outcomes["kube-system", False] != "ignored"


def test_a_pod_that_is_not_the_operators_is_unmanaged_in_an_exempt_namespace_too():
    other = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "mon"},
        "spec": {"containers": [{"name": "a"}]},
    }
    (item,) = sort_documents([("pod", other)]).inputs
    judged = judge(item, FileFacts([_namespace("mon", {EXEMPT: "true"})], NEWEST_MINOR), settings())
    assert (judged.decision.outcome, judged.decision.warnings) == ("unmanaged", ())


def test_dry_run_knows_the_namespace_that_it_is_sent():
    pod, objects = vmsingle()
    question = {"pod": pod, "objects": [*objects, _namespace("mon", {MODE_LABEL: "enforce"})]}
    got = answer(msgspec.json.encode(question), (), settings(VMGUARD_MODE="audit"), NEWEST_MINOR)
    assert got.patch
    assert "enforced by its label" in got.warnings[-1]
