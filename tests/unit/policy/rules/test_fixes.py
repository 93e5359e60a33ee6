"""The fix of each rule, pasted into the resource, makes the finding go away."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.applied_commands import commanded
from tests.support.applied_fixes import applied, pasted
from tests.support.flawed_resources import FLAWED
from tests.support.sample_pods import decide
from webhook.audit.fixes import Copyable, copyable
from webhook.audit.trimmed import trimmed
from webhook.policy.components import BY_KIND, COMPONENTS
from webhook.policy.decide import Decision
from webhook.policy.findings import NothingToCopy, Violation, Warn
from webhook.policy.placed_fix import placed
from webhook.policy.rules import RULES, resource_fix_of
from webhook.policy.rules.subject import ResourceObject
from webhook.policy.workload import Workload

MARKED = {
    "a container with another name",
    "a field of one component at the root",
    "a low port with hostNetwork",
    "another mount at the place of the token",
    "a patch of a container that is not made",
    "a patch of no container",
    "a socket of the node",
}
"""Resources with a finding whose fix only a person can write."""


def judged(thing: dict[str, Any]) -> Decision:
    return decide(in_mon(thing), [], webhook="validate", minor=37)


def in_mon(thing: dict[str, Any]) -> dict[str, Any]:
    return {**thing, "metadata": {**thing["metadata"], "namespace": "mon"}}


def fixes(thing: dict[str, Any]) -> Iterator[tuple[Violation | Warn, Copyable]]:
    """Each finding on the pods of a resource, and on the resource itself, with its fix as text and as a command.

    An audit has no more of the resource than what it trims it to.
    """
    known = trimmed(thing)
    decision = judged(thing)
    for levels in decision.predicted_levels:
        for flaw in levels.flaws if levels else ():
            yield flaw.finding, copyable(flaw.fix, lambda _: known)
    shown = {id(flaw.finding) for levels in decision.predicted_levels if levels for flaw in levels.flaws}
    for finding in decision.findings:
        fix = id(finding) not in shown and resource_fix_of(finding, ResourceObject(thing["kind"], thing))
        if fix:
            name = thing["metadata"]["name"]
            component = BY_KIND.get(thing["kind"], (COMPONENTS[0],))[0]
            workload = Workload(thing["kind"], "mon", name, component, "", thing["spec"])
            yield finding, copyable(placed(fix, workload), lambda _: known)


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
    for finding, what in fixes(thing):
        text, command = what.fix, what.command
        marked = [line for line in text.splitlines() if "<" in line]
        assert all(line.startswith("#") for line in marked), "a place that only a person can fill in is in a comment"
        if marked and not pasted(text) and not command:
            assert name in MARKED
            continue
        assert command, text
        shown = finding.text if isinstance(finding, Warn) else finding.why
        assert shown in findings(before, finding.rule)
        for changed in [commanded(in_mon(thing), command), *([applied(thing, text)] if pasted(text) else [])]:
            after = judged(changed)
            assert shown not in findings(after, finding.rule), what
            assert sum(v.denies for v in after.violations) <= sum(v.denies for v in before.violations), what


PROVEN = {finding.rule for thing in FLAWED.values() for finding, what in fixes(thing) if what.command}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_each_rule_has_a_fix_that_is_proven_or_says_why_not(rule):
    """A rule without a fix declares why, and every other rule has a case above."""
    if isinstance(rule.fix, NothingToCopy):
        assert rule.fix.because
    if rule.resource_fix or not isinstance(rule.fix, NothingToCopy):
        assert rule.id in PROVEN
