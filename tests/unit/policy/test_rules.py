"""The registry has one complete record for each rule, and no rule is reached past it."""

import ast
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.server import ROOT
from webhook.policy import rules
from webhook.policy.findings import NothingToCopy
from webhook.policy.rules.rule import PHASES, Rule, ordered

FOLDER = Path(ROOT, "webhook", "policy", "rules")
RULE_FILES = sorted(path.stem for path in FOLDER.glob("*.py") if "\nRULE = " in path.read_text())


def check(*_):
    return []


def _rule(name="new", order=1, text="new: a rule", **checks):
    return Rule(id=name, order=order, text=text, fix=NothingToCopy("a test"), **(checks or {"pod": check}))


def test_the_ids_are_those_that_users_know():
    """Warnings, metrics and documentation have these ids, so they never change; the order is that of warnings."""
    known = [
        "pod-validity",
        "pod-security-policy",
        "security-context",
        "ignored-strict",
        "image-user",
        "pod-security",
        "api-access",
        "sidecar",
        "file-owner",
        "root-command",
        "read-only-root",
        "low-port",
        "volume-ownership",
    ]
    assert [name for name in rules.IDS if name in known] == known


def test_a_rule_file_that_loses_its_record_is_an_error_at_import():
    """Such a rule would no longer check anything, without notice."""
    modules = {"subject": ModuleType("subject"), "new": ModuleType("new")}
    modules["new"].RULE = _rule()
    assert [rule.id for rule in rules.rules_in(modules)] == ["new"]
    del modules["new"].RULE
    with pytest.raises(ValueError, match="without a RULE: new"):
        rules.rules_in(modules)


def test_every_part_of_the_registry_is_a_module_without_a_record():
    stems = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert stems - set(RULE_FILES) == rules.PARTS


def test_every_rule_file_is_registered():
    assert sorted(rule.id for rule in rules.RULES) == [name.replace("_", "-") for name in RULE_FILES]


def test_every_rule_has_a_test_file():
    tests = {path.name for path in Path(ROOT, "tests", "unit", "policy", "rules").glob("test_*.py")}
    assert {f"test_{name}.py" for name in RULE_FILES} <= tests


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([_rule(), _rule(order=2)], "rules new and new have the same id or order"),
        ([_rule(), _rule("other", text="other: a rule")], "rules new and other have the same id or order"),
        ([_rule(pod=None)], "rule new has no check in any phase"),
        ([_rule(text="another: a rule")], "the text of rule new must start with its id and a colon"),
        ([_rule(resource=check)], "rule new makes no fix for what it finds in a resource"),
        ([_rule(policy_reference=check)], "rule new makes no fix for what it finds in a resource"),
        ([_rule(text=None)], "the text of rule new must start with its id and a colon"),
    ],
)
def test_a_registry_with_a_faulty_record_stops_the_import(records, fault):
    assert ordered([_rule()])
    with pytest.raises(ValueError, match=fault):
        ordered(records)


def test_a_record_has_checks_for_known_phases_only():
    with pytest.raises(TypeError, match="unknown"):
        _rule(unknown=check)
    assert {
        field
        for field in Rule.__struct_fields__
        if field
        not in {
            "id",
            "order",
            "text",
            "table",
            "words",
            "annotations",
            "fix",
            "resource_fix",
            "fields",
            "new_pods_only",
        }
    } == set(PHASES)


def test_a_record_without_a_fix_is_an_error_at_import():
    """A rule whose findings need none declares why."""
    with pytest.raises(TypeError, match="fix"):
        Rule(id="new", order=1, text="new: a rule", pod=check)


def test_rules_come_in_their_order():
    assert [rule.id for rule in ordered([_rule("b", 2, "b: "), _rule("a", 1, "a: ")])] == ["a", "b"]


@pytest.mark.parametrize("path", sorted((ROOT / "webhook").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_outside_the_registry_imports_a_rule(path):
    """A rule's file may share parts with its own helper files only."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("webhook.policy.rules"):
            imported |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            imported |= {part for alias in node.names for part in alias.name.split(".")}
    assert imported.isdisjoint(RULE_FILES)
