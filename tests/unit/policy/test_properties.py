"""For any pod that an API server may send, the patch is complete and contradicts nothing."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.sample_pods import decide, patched, pod, resource, workload
from tests.support.strategies import ANYTHING, PARTS, cases
from webhook.policy.components import COMPONENTS
from webhook.policy.field_types import wrong_types
from webhook.policy.posture import PART_FIELDS
from webhook.policy.preview.predicted_pod import FIELDS
from webhook.policy.token_volume import TOKEN_PATH


def _kept(before, after):
    """Whether everything that was there is there still, in dicts by key and value."""
    if isinstance(before, dict) and isinstance(after, dict):
        return all(
            value is None or value in ([], {}) or (key in after and _kept(value, after[key]))
            for key, value in before.items()
        )
    return before == after


@given(cases())
@settings(max_examples=examples(400), deadline=None)
def test_the_patch_applies_is_enough_and_overwrites_nothing(case):
    """The patch applies, a second review has none, nothing that was there is lost, and the input is not touched."""
    asked, objects, minor, environment = case
    original = copy.deepcopy(asked)
    decision = decide(asked, objects, minor=minor, **environment)
    assert asked == original
    done = patched(asked, decision)
    assert decide(done, objects, minor=minor, **environment).patch == ()
    json.dumps(done)
    assert _kept(asked["spec"].get("securityContext") or {}, done["spec"].get("securityContext") or {})
    for group in ("containers", "initContainers"):
        for old, new in zip(asked["spec"].get(group, []), done["spec"].get(group, []), strict=True):
            assert _kept(old.get("securityContext") or {}, new.get("securityContext") or {})
            assert old["name"] == new["name"]
    if decision.postures[0].api_access == "automount":
        assert asked["spec"].get("volumes") == done["spec"].get("volumes")


@given(cases())
@settings(max_examples=examples(300), deadline=None)
def test_filling_never_contradicts_itself(case):
    """What is filled makes no pod that the API server refuses or the kubelet will not start."""
    asked, objects, minor, environment = case
    decision = decide(asked, objects, minor=minor, **environment)
    done = patched(asked, decision)
    filled = {change.edit.path for change in decision.changes}
    pod_context = done["spec"].get("securityContext") or {}
    before = asked["spec"].get("securityContext") or {}
    for index, container in enumerate(done["spec"]["containers"]):
        context = container.get("securityContext") or {}
        base = f"/spec/containers/{index}/securityContext"
        if f"{base}/allowPrivilegeEscalation" in filled and context["allowPrivilegeEscalation"] is False:
            assert context.get("privileged") is not True
            assert "CAP_SYS_ADMIN" not in (context.get("capabilities") or {}).get("add", [])
        user = context.get("runAsUser")
        user = pod_context.get("runAsUser") if user is None else user
        if f"{base}/runAsNonRoot" in filled and context["runAsNonRoot"]:
            assert user != 0
        if f"{base}/runAsUser" in filled and before.get("runAsUser") is not None:
            assert context["runAsUser"] == before["runAsUser"]
    if "/spec/securityContext/runAsNonRoot" in filled and pod_context["runAsNonRoot"]:
        assert pod_context.get("runAsUser") != 0
    told = {violation.path for violation in decision.violations}
    posture = decision.postures[0]
    if posture.security_context == "strict" and "VMGUARD_RUN_AS" not in environment:
        root = before.get("runAsUser") == 0 or before.get("runAsNonRoot") is False
        collector = posture.component.runs_as_root_in_daemonset and decision.identity.in_daemonset
        windows = "os" in asked["spec"]
        weak = {path for path in told if path.startswith("/spec/securityContext/runAs")}
        assert bool(weak) >= bool(root and not collector and not windows)
    for index, container in enumerate(done["spec"]["containers"]):
        base = f"/spec/containers/{index}/securityContext"
        if f"{base}/seccompProfile" in filled and before.get("seccompProfile"):
            assert container["securityContext"]["seccompProfile"] == before["seccompProfile"]
    for group in ("containers", "initContainers"):
        pairs = zip(asked["spec"].get(group, []), done["spec"].get(group, []), strict=True)
        for index, (old, new) in enumerate(pairs):
            if _root_that_must_not_be(done["spec"], new) and not _root_that_must_not_be(asked["spec"], old):
                assert f"/spec/{group}/{index}/securityContext/runAsUser" in told


def _root_that_must_not_be(spec, container):
    """Whether the kubelet would not start it: its effective user is root and its effective runAsNonRoot is true."""
    own, of_pod = container.get("securityContext") or {}, spec.get("securityContext") or {}
    user, non_root = (
        of_pod.get(field) if own.get(field) is None else own[field] for field in ("runAsUser", "runAsNonRoot")
    )
    return user == 0 and non_root is True


@given(cases())
@settings(max_examples=examples(150), deadline=None)
def test_mounts_and_volumes_stay_consistent(case):
    """No mount loses its volume, and no container gets two mounts at one path that it had not."""
    asked, objects, minor, environment = case
    done = patched(asked, decide(asked, objects, minor=minor, **environment))
    had = {volume["name"] for volume in asked["spec"].get("volumes") or []}
    have = {volume["name"] for volume in done["spec"].get("volumes") or []}
    for group in ("containers", "initContainers"):
        for old, new in zip(asked["spec"].get(group, []), done["spec"].get(group, []), strict=True):
            dangling = {mount["name"] for mount in old.get("volumeMounts") or []} - had
            assert {mount["name"] for mount in new.get("volumeMounts") or []} <= have | dangling
            paths = [mount["mountPath"] for mount in new.get("volumeMounts") or []]
            old_paths = [mount["mountPath"] for mount in old.get("volumeMounts") or []]
            assert paths.count(TOKEN_PATH) <= max(1, old_paths.count(TOKEN_PATH))


@given(cases(), st.sampled_from(["uid", "controller"]))
@settings(max_examples=examples(100), deadline=None)
def test_unmanaged_pods_stay_unchanged(case, how):
    asked, objects, minor, environment = case
    asked["metadata"]["ownerReferences"][0][how] = "other" if how == "uid" else False
    decision = decide(asked, objects, minor=minor, **environment)
    assert (decision.outcome, decision.patch, decision.allowed) == ("unmanaged", (), True)


@given(
    st.dictionaries(st.sampled_from(["zones", "zoneCommon", "vmauth", "vmselect", "podSecurityPolicyName"]), ANYTHING)
)
@settings(max_examples=examples(300), deadline=None)
def test_a_parent_of_any_content_is_answered(spec):
    for kind in ("VMDistributed", "VMCluster", "VMSingle"):
        assert decide(resource(kind, "x", spec), [], webhook="validate", minor=30).outcome in {
            "unchanged",
            "warned",
            "denied",
        }
    parent = resource("VMDistributed", "x", spec)
    cr = resource("VMSingle", "x-a", {}, parent)
    owner = workload("StatefulSet", "vmsingle-x-a", cr)
    outcome = decide(pod(owner), [parent, cr, owner]).outcome
    assert outcome in ({"refused"} if wrong_types("VMDistributed", spec) else {"patched", "unchanged"})


@given(ANYTHING)
@settings(max_examples=examples(300), deadline=None)
def test_a_resource_of_any_content_is_answered(part):
    for kind, field in (("VMSingle", None), ("VMCluster", "vmselect")):
        spec = {field: part} if field else part
        if not isinstance(spec, dict):
            continue
        cr = resource(kind, "x", spec)
        owner = workload("StatefulSet", "vmselect-x", cr)
        asked = pod(owner, {"containers": [{"name": "vmselect"}]})
        done = patched(asked, decide(asked, [cr, owner]))
        assert not decide(done, [cr, owner]).patch


PREDICTED = [
    *FIELDS,
    *sorted({path[0] for component in COMPONENTS for path in component.fields}),
    *(field for field in PART_FIELDS if field != "podSecurityPolicyName"),
]


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from(PREDICTED), PARTS),
    st.dictionaries(st.sampled_from(PREDICTED), PARTS),
    st.sampled_from(COMPONENTS),
)
@settings(max_examples=examples(400), deadline=None)
def test_whatever_a_resource_says_of_its_pods_is_answered_and_denied_once_only(part, before, component):
    """The same content again is never denied, as the fault was there."""

    def made(content):
        spec = content
        for field in reversed(component.path[1:]):
            spec = {field: spec}
        if component.enabled is not True:
            spec["requestsLoadBalancer"]["enabled"] = True
        return resource(component.kind, "x", spec)

    def update(old):
        review = {"oldObject": made(old)}
        return decide(made(part), [], webhook="validate", minor=37, operation="UPDATE", review=review)

    wrong = wrong_types(component.kind, made(part)["spec"])
    assert update(before).outcome in ({"denied", "unknown"} if wrong else {"unchanged", "warned", "denied"})
    assert update(part).outcome == ("unknown" if wrong else "unchanged")
