"""An audit and a review say the same of the same running pod, in the same words."""

import json
from functools import cache

import pytest

from tests.support.audited_pods import audited, pods_of
from tests.support.flawed_resources import FLAWED
from webhook.offline.file_facts import FileFacts
from webhook.offline.inputs import sort_documents
from webhook.offline.judge import judge
from webhook.policy.components import PARENTS
from webhook.policy.rules import IDS
from webhook.settings import Settings

STORAGE = " (it was not found)"
"""What an audit adds of a claim; a review does not look for it."""


def _running(thing):
    """The objects of a resource, with pods that a node runs and that have data on a volume of the node."""
    thing = {**thing, "metadata": {**thing["metadata"], "namespace": "mon", "uid": thing["metadata"].get("uid", "u")}}
    objects = json.loads(json.dumps([thing, *pods_of(thing)]))
    for each in objects:
        if each["kind"] == "Pod":
            each["spec"]["nodeName"] = "node"
            each["spec"]["volumes"].append({"name": "node", "hostPath": {"path": "/node"}})
            each["spec"]["containers"][0].setdefault("volumeMounts", []).append({"name": "node", "mountPath": "/node"})
    return objects


CASES = [name for name, thing in FLAWED.items() if thing["kind"] not in PARENTS]


@cache
def _said(name):
    """The warnings of a review, and the texts of an audit with their rules."""
    objects = _running(FLAWED[name])
    found = sort_documents([("x", each) for each in objects])
    source = FileFacts(found.facts, 37, complete=True)
    pods = [item for item in found.inputs if item.kind == "Pod"]
    warnings = {warning for each in pods for warning in judge(each, source, Settings()).decision.warnings}
    evidence = {
        (finding.text.replace(STORAGE, ""), finding.id)
        for row in audited(*objects)
        for finding in row.findings
        if row.pods and finding.id in IDS
    }
    return warnings, evidence


@pytest.mark.parametrize("name", CASES)
def test_each_warning_of_a_review_is_evidence_in_an_audit_and_the_other_way_round(name):
    warnings, evidence = _said(name)
    for text, rule in evidence:
        assert any(each.startswith(text) and each.endswith(f"[{rule}]") for each in warnings), (text, warnings)
    for each in warnings:
        assert any(each.startswith(text) and each.endswith(f"[{rule}]") for text, rule in evidence), (each, evidence)


def test_the_cases_above_have_evidence_of_many_rules():
    rules = {rule for name in CASES for _, rule in _said(name)[1]}
    assert rules > {"volume-ownership", "security-context", "sidecar", "low-port", "read-only-root", "api-access"}
