"""sidecar: a container of the user that does not pass Pod Security restricted is a warning, also at kubectl debug."""

import pytest

from tests.support.golden import CASES
from tests.support.preview_warnings import PASSES_RESTRICTED, warnings_on
from tests.support.sample_pods import UNREACHABLE, Answers, admitted, decide, patched, resource, vmsingle
from webhook.offline.file_facts import FileFacts
from webhook.settings import Settings


def test_a_sidecar_that_does_not_pass_restricted_is_a_warning_unless_it_is_hardened():
    spec = {
        "containers": [{"name": "side", "image": "side"}],
        "initContainers": [{"name": "first", "image": "first", "securityContext": PASSES_RESTRICTED}],
    }
    assert warnings_on("VMSingle", spec, "sidecar") == [
        "vmsingle: container 'side' is left as it is and does not pass Pod Security restricted: write its"
        " securityContext, or set VMGUARD_HARDEN_SIDECARS=true [sidecar]"
    ]
    assert warnings_on("VMSingle", spec, VMGUARD_HARDEN_SIDECARS="true") == []
    assert warnings_on("VMSingle", {**spec, "securityContext": {}}, "sidecar") == []
    spec["containers"] += [{"name": "two"}, {"name": "three"}, {"name": "four"}]
    (warning,) = warnings_on("VMSingle", spec, "sidecar")
    assert warning.startswith("vmsingle: each of the containers 'side', 'two', 'three' and 1 more is left as it is")


@pytest.mark.parametrize(
    "injected",
    [
        {"containers": [{"name": "vmsingle"}, {"name": "linkerd-proxy"}]},
        {"initContainers": [{"name": "istio-proxy", "restartPolicy": "Always"}]},
        {"containers": [{"name": "vmsingle"}, {"name": "evil", "securityContext": {"privileged": True}}]},
    ],
    ids=["container", "native sidecar", "privileged container"],
)
@pytest.mark.parametrize("resource_spec", [{}, {"securityContext": {}}, {"useStrictSecurity": False}], ids=str)
def test_a_container_that_another_webhook_injects_is_a_warning_and_never_denied(injected, resource_spec):
    """The warning is counted by the metric of findings and is in the audit annotation `rules`."""
    asked, objects = vmsingle(resource_spec, injected)
    final = patched(asked, decide(asked, objects))
    decision = decide(final, objects, webhook="validate", VMGUARD_ENFORCE="deny")
    assert decision.allowed
    (warning,) = decision.warnings
    assert "neither the operator's nor in the resource" in warning
    assert (("sidecar", "warn"), 1) in decision.tally.counts
    assert "sidecar=1" in decision.annotations["rules"]


def test_a_container_of_the_resource_and_every_one_of_the_operator_is_no_injected_one():
    names = {
        "containers": ("vmsingle", "vmbackuper", "config-reloader", "side"),
        "initContainers": ("vmbackuper-restore",),
    }
    spec = {group: [{"name": name} for name in each] for group, each in names.items()}
    asked, objects = vmsingle({"containers": [{"name": "side", "image": "side"}]}, spec)
    assert decide(asked, objects).warnings == ()
    spec["containers"].append({"name": "another"})
    unknown = decide(asked, source=FileFacts([], 30, complete=False))
    assert "neither the operator's" not in str(unknown.warnings), "without the resource nobody knows"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_no_recorded_pod_has_an_injected_container(case):
    """The component table has every container that a recorded operator made."""
    decision, _ = admitted(case.review, FileFacts(case.objects, 37), Settings.from_environment(case.settings))
    assert "neither the operator's nor in the resource" not in str(decision.warnings)


def test_an_empty_list_in_a_sidecars_context_counts_as_absent():
    """The operator and the API server drop it before vmguard judges the pod."""
    spec = {
        "containers": [
            {"name": "side", "image": "side", "securityContext": {"capabilities": {"drop": [], "add": None}}}
        ]
    }
    (warning,) = warnings_on("VMSingle", spec, "sidecar")
    assert "set VMGUARD_HARDEN_SIDECARS=true" in warning
    assert warnings_on("VMSingle", spec, VMGUARD_HARDEN_SIDECARS="true") == []


@pytest.mark.parametrize(
    "weak",
    [
        {"securityContext": {"privileged": True}},
        {"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}},
        {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
        {"ports": [{"containerPort": 1, "hostPort": 1}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("harden", ["true", "false"])
def test_hardening_is_no_advice_where_it_does_not_help(weak, harden):
    spec = {"containers": [{"name": "side", "image": "side", **weak}]}
    (warning,) = warnings_on("VMSingle", spec, "sidecar", VMGUARD_HARDEN_SIDECARS=harden)
    assert warning.startswith(
        "vmsingle: container 'side' is weaker than Pod Security restricted, as the resource sets it: "
    )
    assert "VMGUARD_HARDEN_SIDECARS" not in warning


STRICT_POD = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}


def debug(*new, cr=None, had=(), source=None, webhook="validate", **environment):
    """The decision on new ephemeral containers of a strict pod, beside those that it had."""
    pod, objects = vmsingle(cr, {"containers": [{"name": "vmsingle"}], **STRICT_POD})
    old = {**pod, "spec": {**pod["spec"], "ephemeralContainers": list(had)}}
    asked = {**pod, "spec": {**pod["spec"], "ephemeralContainers": [*had, *new]}}
    review = {"subResource": "ephemeralcontainers", "oldObject": old}
    return decide(
        asked, objects, webhook=webhook, operation="UPDATE", review=review, source=source, minor=37, **environment
    )


def test_an_ephemeral_container_that_does_not_pass_restricted_is_a_warning_with_its_reasons():
    decision = debug({"name": "night", "securityContext": {**PASSES_RESTRICTED, "privileged": True}})
    assert (decision.allowed, decision.outcome, decision.patch) == (True, "warned", ())
    assert decision.warnings == (
        "ephemeral container 'night' does not pass Pod Security restricted: privileged (container \"night\" must not"
        " set securityContext.privileged=true) [sidecar]",
    )
    assert decision.annotations["decision"].startswith("warned: ephemeral container 'night' does not pass")


def test_an_ephemeral_container_that_the_kubelet_will_not_start_is_a_warning():
    decision = debug({"name": "night", "securityContext": {**PASSES_RESTRICTED, "runAsUser": 0}})
    assert decision.warnings[0].startswith(
        "ephemeral container 'night' runs as root in a pod that must not: the kubelet"
    )
    own = debug({"name": "night", "securityContext": {**PASSES_RESTRICTED, "runAsUser": 0, "runAsNonRoot": False}})
    assert not any("the kubelet" in each for each in own.warnings)


def test_an_ephemeral_container_that_passes_or_was_there_before_is_no_warning():
    assert debug({"name": "night", "securityContext": PASSES_RESTRICTED}).outcome == "unchanged"
    assert debug(had=[{"name": "old"}]).warnings == ()
    assert debug({"name": "night"}, cr={"useStrictSecurity": False}).warnings == ()


@pytest.mark.parametrize("enforce", ["off", "warn", "deny"])
def test_an_ephemeral_container_is_never_denied(enforce):
    assert debug({"name": "night"}, VMGUARD_ENFORCE=enforce).allowed


def test_an_ephemeral_container_is_allowed_when_the_owners_of_its_pod_are_unknown():
    decision = debug({"name": "night"}, source=Answers({"ReplicaSet": UNREACHABLE}, []), VMGUARD_UNKNOWN="refuse")
    assert (decision.outcome, decision.allowed, decision.refused) == ("unknown", True, "")


def test_the_mutating_webhook_ignores_ephemeral_containers():
    assert debug({"name": "night"}, webhook="mutate").outcome == "ignored"


@pytest.mark.parametrize(
    ("before", "context", "text"),
    [
        ({"useStrictSecurity": False}, {}, "user 65534 from the pod; now it runs as the user of its image"),
        ({"securityContext": {"runAsUser": 7}}, {}, "user 65534 from the pod; now it runs as user 7"),
        ({"useStrictSecurity": False}, {"runAsUser": 5}, ""),
        ({}, {}, ""),
    ],
    ids=str,
)
def test_an_update_that_gives_a_sidecar_another_user_is_a_warning(before, context, text):
    """An audit and a review use the same words for a running pod."""
    beside = {"containers": [{"name": "side", "image": "i", "securityContext": {**PASSES_RESTRICTED, **context}}]}
    old = resource("VMSingle", spec={**beside, **before})
    found = warnings_on(
        "VMSingle", {**beside, "port": "8000"}, "sidecar", operation="UPDATE", review={"oldObject": old}
    )
    look = "Check: kubectl exec -n mon deploy/vmsingle-db -c side -- id -u [sidecar]"
    assert found == ([f"vmsingle: container 'side' inherits {text}. {look}"] if text else [])
