"""Every finding of an audit has something to copy, whatever makes it."""

import ast
import asyncio

import pytest
import yaml

from tests.support.applied_commands import commanded
from tests.support.applied_fixes import applied
from tests.support.sample_pods import decide, resource
from tests.support.server import ROOT
from webhook.audit.audits import audit_saved
from webhook.audit.collect import AuditScope
from webhook.audit.saved import SavedObjects
from webhook.settings import Settings

FILES = sorted((ROOT / "webhook" / "audit").glob("*.py"))
FIELDS = 4
"""The fields of a finding up to its fix."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_finding_is_made_without_a_fix(file):
    """Each place that makes one says what to copy, or that its caller does."""
    made = [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ReportedFinding"
    ]
    for call in made:
        assert len(call.args) + len(call.keywords) >= FIELDS, f"line {call.lineno}"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VMSingle", {"useStrictSecurity": "false"}),
        ("VMSingle", {"securityContext": {"runAsUser": "1000"}}),
        ("VMCluster", {"vmselect": {"containers": [{"name": "x", "securityContext": {"privileged": "False"}}]}}),
        ("VMCluster", {"vmselect": {"useStrictSecurity": "true"}, "vminsert": {"useStrictSecurity": "true"}}),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_whose_text_leaves_no_doubt_is_corrected(kind, spec):
    thing = resource(kind, spec=spec)
    assert not decide(thing, [], webhook="validate").allowed
    rows = audited(thing)
    assert {finding.verdict for row in rows for finding in row.findings} == {"DENIED"}
    for finding in (finding for row in rows for finding in row.findings):
        for changed in (applied(thing, finding.fix), commanded(thing, finding.command)):
            assert decide(changed, [], webhook="validate").allowed


@pytest.mark.parametrize(
    "spec", [{"containers": {"a": 1}}, {"useStrictSecurity": "maybe"}, {"securityContext": ""}], ids=str
)
def test_a_value_of_the_wrong_type_is_not_guessed(spec):
    thing = resource("VMSingle", spec=spec)
    ((finding,),) = [row.findings for row in audited(thing)]
    assert yaml.safe_load(finding.fix) is None
    assert "<a value of type" in finding.fix


def audited(thing):
    saved = SavedObjects([], [thing], None)
    return asyncio.run(audit_saved(saved, "file", 37, AuditScope(()), Settings())).workloads
