"""A pod that reaches a lower Pod Security level afterwards is to be checked, and strict security never makes one."""

import pytest
from hypothesis import given, settings

from tests.support.applied_commands import commanded
from tests.support.applied_fixes import applied
from tests.support.audited_pods import audited
from tests.support.examples import examples
from tests.support.flawed_resources import FLAWED
from tests.support.sample_pods import decide, patched, vmsingle
from tests.support.strategies import cases
from webhook.audit.lower_level import lower_level
from webhook.podsecurity import evaluate

HARD = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED = {
    "containers": [{"name": "vmsingle", "securityContext": {**HARD, "runAsNonRoot": True, "runAsUser": 1000}}],
}


@pytest.mark.parametrize(
    ("own", "spec", "levels", "reason"),
    [
        (
            {"privileged": True},
            {"containers": [{"name": "vmsingle"}]},
            ("baseline", "privileged"),
            'container "vmsingle" must not set securityContext.privileged=true',
        ),
        (
            {"procMount": "Unmasked", "runAsUser": 1000},
            RESTRICTED,
            ("restricted", "privileged"),
            'container "vmsingle" must not set securityContext.procMount to "Unmasked"',
        ),
        (
            {"capabilities": {"add": ["CHOWN"]}, "runAsUser": 1000},
            RESTRICTED,
            ("restricted", "baseline"),
            'container "vmsingle" must not include "CHOWN" in securityContext.capabilities.add',
        ),
    ],
    ids=["privileged", "procMount", "capabilities"],
)
def test_a_lower_level_afterwards_is_to_be_checked_and_names_container_and_field(own, spec, levels, reason):
    thing, objects = vmsingle({"securityContext": own}, spec)
    (row,) = audited(thing, *objects)
    assert (row.level_now, row.level_after, row.verdict) == (*levels, "CHECK")
    (finding,) = [each for each in row.findings if each.id == "pod-security"]
    assert finding.text.startswith(f"Pod Security level {levels[0]} now, {levels[1]} afterwards: ")
    assert reason in finding.text
    resource = next(each for each in (thing, *objects) if each["kind"] == "VMSingle")
    for changed in (applied(resource, finding.fix), commanded(resource, finding.command)):
        things = [changed if each["kind"] == "VMSingle" else each for each in (thing, *objects)]
        (after,) = audited(*things)
        assert not [each for each in after.findings if each.id == "pod-security"], finding
        assert after.level_after == levels[0]


@given(cases())
@settings(max_examples=examples(400), deadline=None)
def test_only_a_resources_own_context_can_lower_a_level_and_this_is_reported(case):
    asked, objects, minor, environment = case
    decision = decide(asked, objects, minor=minor, **environment)
    now, after = evaluate(asked, minor), evaluate(patched(asked, decision), minor)
    found = lower_level(decision, asked, now, after, minor)
    assert (found is not None) is (after.level < now.level)
    if found:
        assert decision.postures[0].security_context == "custom"
        assert str(after.level) in found[0]


@pytest.mark.parametrize("name", FLAWED)
def test_a_predicted_pod_never_reaches_a_lower_level(name):
    """The operator gives it all that the resource's own context has."""
    thing = FLAWED[name]
    thing = {**thing, "metadata": {**thing["metadata"], "namespace": "mon"}}
    decision = decide(thing, [], webhook="validate", minor=37)
    assert not [each for each in decision.predicted_levels if each and each.after.level < each.before.level]
