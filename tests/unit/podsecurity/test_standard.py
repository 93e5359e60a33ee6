"""One field that is too weak lowers the Pod Security level of a pod, and the reason names the field."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from webhook.podsecurity import Level, evaluate
from webhook.podsecurity.registry import CHECKS, NEWEST

GOOD = {
    "metadata": {"name": "x"},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {"name": "a", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
        ],
    },
}


def _with(path, value):
    pod = copy.deepcopy(GOOD)
    *parents, leaf = path.split(".")
    target = pod
    for part in parents:
        target = target[int(part)] if part.isdigit() else target.setdefault(part, {})
    if value is None:
        target.pop(leaf, None)
    else:
        target[leaf] = value
    return pod


CONTEXT = "spec.containers.0.securityContext"


def test_a_hardened_pod_is_restricted():
    verdict = evaluate(GOOD, NEWEST)
    assert (verdict.level, verdict.reasons) == (Level.RESTRICTED, ())


@pytest.mark.parametrize(
    ("path", "value", "level", "reason"),
    [
        ("spec.hostNetwork", True, "privileged", "host namespaces (hostNetwork=true)"),
        (f"{CONTEXT}.privileged", True, "privileged", "privileged"),
        (f"{CONTEXT}.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "privileged", "unrestricted capabilities"),
        ("spec.volumes", [{"name": "h", "hostPath": {"path": "/"}}], "privileged", "restricted volume types"),
        ("spec.containers.0.ports", [{"hostPort": 80}], "privileged", "hostPort"),
        (f"{CONTEXT}.procMount", "Unmasked", "privileged", "procMount"),
        (f"{CONTEXT}.seLinuxOptions", {"type": "custom"}, "privileged", "seLinuxOptions"),
        ("spec.securityContext.seccompProfile", {"type": "Unconfined"}, "privileged", "seccompProfile"),
        ("spec.securityContext.sysctls", [{"name": "kernel.x", "value": "1"}], "privileged", "forbidden sysctls"),
        (f"{CONTEXT}.appArmorProfile", {"type": "Unconfined"}, "privileged", "forbidden AppArmor profile"),
        (f"{CONTEXT}.windowsOptions", {"hostProcess": True}, "privileged", "hostProcess"),
        (
            f"{CONTEXT}.allowPrivilegeEscalation",
            None,
            "baseline",
            'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)',
        ),
        (
            f"{CONTEXT}.capabilities",
            None,
            "baseline",
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])',
        ),
        (f"{CONTEXT}.capabilities", {"drop": ["all"]}, "baseline", "unrestricted capabilities"),
        ("spec.securityContext.runAsNonRoot", None, "baseline", "runAsNonRoot != true"),
        (f"{CONTEXT}.runAsUser", 0, "baseline", "runAsUser=0"),
        ("spec.securityContext.seccompProfile", None, "baseline", "seccompProfile"),
        ("spec.volumes", [{"name": "n", "nfs": {}}], "baseline", "restricted volume types"),
    ],
)
def test_one_field_costs_the_level_and_is_named(path, value, level, reason):
    verdict = evaluate(_with(path, value), NEWEST)
    assert str(verdict.level) == level
    assert any(str(why).startswith(reason) for why in verdict.reasons), [str(why) for why in verdict.reasons]


def test_a_rule_applies_from_its_version_on():
    probe = _with("spec.containers.0.livenessProbe", {"httpGet": {"host": "127.0.0.2", "port": 80}})
    assert evaluate(probe, 33).level == Level.RESTRICTED
    assert evaluate(probe, 34).level == Level.PRIVILEGED


def test_a_minor_out_of_range_counts_as_the_nearest():
    assert evaluate(GOOD, 999) == evaluate(GOOD, NEWEST)
    assert evaluate(GOOD, 1) == evaluate(GOOD, 20)


def test_the_registry_holds_together():
    ids = [check.id for check in CHECKS]
    assert len(ids) == len(set(ids))
    for check in CHECKS:
        minors = [minor for minor, _ in check.versions]
        assert minors == sorted(set(minors))
        assert set(check.overrides) <= {other.id for other in CHECKS if other.level == Level.BASELINE}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "containers",
                    "initContainers",
                    "securityContext",
                    "capabilities",
                    "add",
                    "drop",
                    "volumes",
                    "ports",
                    "seccompProfile",
                    "type",
                    "sysctls",
                    "name",
                    "hostPort",
                    "runAsUser",
                    "annotations",
                    "os",
                    "httpGet",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(st.fixed_dictionaries({}, optional={"metadata": JSON, "spec": JSON}), st.integers(0, 50))
@settings(max_examples=examples(400), deadline=None)
def test_no_json_makes_it_raise_and_the_same_pod_has_the_same_verdict(pod, minor):
    before = copy.deepcopy(pod)
    verdict = evaluate(pod, minor)
    assert pod == before
    assert verdict == evaluate(pod, minor)
    assert bool(verdict.reasons) is (verdict.level != Level.RESTRICTED)
