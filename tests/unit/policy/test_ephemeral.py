"""New ephemeral containers are judged like the user's, told of, and never in the way of who debugs."""

import pytest

from tests.support.sample_pods import UNREACHABLE, Answers, decide, vmsingle

STRICT_POD = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}
PASSES = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def debug(*new, cr=None, had=(), source=None, webhook="validate", **environment):
    pod, objects = vmsingle(cr, {"containers": [{"name": "vmsingle"}], **STRICT_POD})
    old = {**pod, "spec": {**pod["spec"], "ephemeralContainers": list(had)}}
    asked = {**pod, "spec": {**pod["spec"], "ephemeralContainers": [*had, *new]}}
    review = {"subResource": "ephemeralcontainers", "oldObject": old}
    return decide(
        asked, objects, webhook=webhook, operation="UPDATE", review=review, source=source, minor=37, **environment
    )


def test_what_does_not_pass_is_told_with_its_reasons():
    decision = debug({"name": "night", "securityContext": {**PASSES, "privileged": True}})
    assert (decision.allowed, decision.outcome, decision.patch) == (True, "warned", ())
    assert decision.warnings == (
        "ephemeral container 'night' does not pass Pod Security restricted: privileged (container \"night\" must not"
        " set securityContext.privileged=true) [sidecar]",
    )
    assert decision.annotations["decision"].startswith("warned: ephemeral container 'night' does not pass")


def test_root_in_a_pod_that_must_not_be_root_is_told_as_it_will_not_start():
    decision = debug({"name": "night", "securityContext": {**PASSES, "runAsUser": 0}})
    assert decision.warnings[0].startswith(
        "ephemeral container 'night' runs as root in a pod that must not: the kubelet"
    )
    own = debug({"name": "night", "securityContext": {**PASSES, "runAsUser": 0, "runAsNonRoot": False}})
    assert not any("the kubelet" in each for each in own.warnings)


def test_what_passes_and_what_was_there_before_is_not_told_of():
    assert debug({"name": "night", "securityContext": PASSES}).outcome == "unchanged"
    assert debug(had=[{"name": "old"}]).warnings == ()
    assert debug({"name": "night"}, cr={"useStrictSecurity": False}).warnings == ()


@pytest.mark.parametrize("enforce", ["off", "warn", "deny"])
def test_it_is_never_denied(enforce):
    assert debug({"name": "night"}, VMGUARD_ENFORCE=enforce).allowed


def test_it_is_let_through_when_its_owners_cannot_be_known():
    decision = debug({"name": "night"}, source=Answers({"ReplicaSet": UNREACHABLE}, []), VMGUARD_UNKNOWN="refuse")
    assert (decision.outcome, decision.allowed, decision.refused) == ("unknown", True, "")


def test_the_mutating_webhook_leaves_it_alone():
    assert debug({"name": "night"}, webhook="mutate").outcome == "ignored"
