"""The fix of each rule, pasted into the resource, makes the finding go away."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.applied_fixes import applied, pasted
from tests.support.flawed_resources import FLAWED
from tests.support.sample_pods import decide
from webhook.audit.fixes import fix_text
from webhook.policy.components import BY_KIND, COMPONENTS
from webhook.policy.decide import Decision
from webhook.policy.findings import NothingToCopy, Violation, Warn
from webhook.policy.placed_fix import placed
from webhook.policy.rules import RULES, resource_fix_of
from webhook.policy.rules.subject import ResourceObject
from webhook.policy.workload import Workload

MARKED = {
    "a low port with hostNetwork",
    "another mount at the place of the token",
}
"""Resources with a finding whose fix only a person can write."""


def judged(thing: dict[str, Any]) -> Decision:
    thing = {**thing, "metadata": {**thing["metadata"], "namespace": "mon"}}
    return decide(thing, [], webhook="validate", minor=37)


def fixes(thing: dict[str, Any]) -> Iterator[tuple[Violation | Warn, str]]:
    """Each finding on the pods of a resource, and on the resource itself, with its fix as text."""
    decision = judged(thing)
    for levels in decision.predicted_levels:
        for flaw in levels.flaws if levels else ():
            yield flaw.finding, fix_text(flaw.fix)
    shown = {id(flaw.finding) for levels in decision.predicted_levels if levels for flaw in levels.flaws}
    for finding in decision.findings:
        fix = id(finding) not in shown and resource_fix_of(finding, ResourceObject(thing["kind"], thing))
        if fix:
            name = thing["metadata"]["name"]
            component = BY_KIND.get(thing["kind"], (COMPONENTS[0],))[0]
            yield finding, fix_text(placed(fix, Workload(thing["kind"], "mon", name, component, "", thing["spec"])))


def findings(decision: Decision, rule: str) -> set[str]:
    return {
        each.text if isinstance(each, Warn) else each.why
        for each in decision.findings
        if isinstance(each, Violation | Warn) and each.rule == rule
    }


@pytest.mark.parametrize("name", FLAWED)
def test_a_fix_in_the_resource_makes_its_finding_go_away(name):
    """The finding is not there when the resource is previewed again, and no other denial is."""
    thing = FLAWED[name]
    before = judged(thing)
    for finding, text in fixes(thing):
        marked = [line for line in text.splitlines() if "<" in line]
        assert all(line.startswith("#") for line in marked), "a place that only a person can fill in is in a comment"
        if marked and not pasted(text):
            assert name in MARKED
            continue
        after = judged(applied(thing, text))
        shown = finding.text if isinstance(finding, Warn) else finding.why
        assert shown in findings(before, finding.rule)
        assert shown not in findings(after, finding.rule), text
        assert sum(each.denies for each in after.violations) <= sum(each.denies for each in before.violations), text


PROVEN = {finding.rule for thing in FLAWED.values() for finding, text in fixes(thing) if pasted(text)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_each_rule_has_a_fix_that_is_proven_or_says_why_not(rule):
    """A rule without a fix declares why, and every other rule has a case above."""
    if isinstance(rule.fix, NothingToCopy):
        assert rule.fix.because
    if rule.resource_fix or not isinstance(rule.fix, NothingToCopy):
        assert rule.id in PROVEN
