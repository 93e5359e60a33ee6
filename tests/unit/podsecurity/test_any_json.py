"""`evaluate` answers for any JSON, always the same, and more containers never raise a pod's level."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from webhook.podsecurity import Level, Verdict, evaluate
from webhook.podsecurity.registry import CHECKS

_SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([1 << 40, -(1 << 31), 0])
    | st.floats()
    | st.text(max_size=8)
)
_JUNK = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def _field(*fitting: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What belongs there, and now and then anything else."""
    return st.one_of(*fitting, *fitting, _JUNK)


def _object(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _field(st.fixed_dictionaries({}, optional=fields))


def _list(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _field(st.lists(item, max_size=2))


_BOOL = _field(st.booleans())
_PROFILE = _object(type=_field(st.sampled_from(["RuntimeDefault", "Localhost", "Unconfined", ""])))
_SECURITY = {
    "appArmorProfile": _PROFILE,
    "runAsNonRoot": _BOOL,
    "runAsUser": _field(st.sampled_from([0, 1000])),
    "seLinuxOptions": _object(type=_field(st.sampled_from(["", "spc_t"])), user=_JUNK, role=_JUNK),
    "seccompProfile": _PROFILE,
    "windowsOptions": _object(hostProcess=_BOOL),
}
_CAPABILITIES = _list(_field(st.sampled_from(["ALL", "NET_BIND_SERVICE", "NET_RAW"])))
_ACTION = _object(host=_field(st.sampled_from(["", "h"])))
_HANDLER = _object(httpGet=_ACTION, tcpSocket=_ACTION)
_CONTAINER = _object(
    name=_field(st.sampled_from(["a", "b"])),
    ports=_list(_object(hostPort=_field(st.sampled_from([0, 80])))),
    livenessProbe=_HANDLER,
    startupProbe=_HANDLER,
    lifecycle=_object(postStart=_HANDLER, preStop=_HANDLER),
    securityContext=_object(
        allowPrivilegeEscalation=_BOOL,
        capabilities=_object(add=_CAPABILITIES, drop=_CAPABILITIES),
        privileged=_BOOL,
        procMount=_field(st.sampled_from(["Default", "Unmasked"])),
        **_SECURITY,
    ),
)
_POD = _object(
    metadata=_object(
        annotations=_field(
            st.dictionaries(st.sampled_from(["container.apparmor.security.beta.kubernetes.io/a", "x"]), _JUNK)
        )
    ),
    spec=_object(
        hostIPC=_BOOL,
        hostNetwork=_BOOL,
        hostUsers=_BOOL,
        os=_object(name=_field(st.sampled_from(["windows", "linux"]))),
        securityContext=_object(sysctls=_list(_object(name=_JUNK)), **_SECURITY),
        containers=_list(_CONTAINER),
        initContainers=_list(_CONTAINER),
        ephemeralContainers=_list(_CONTAINER),
        volumes=_list(_object(name=_JUNK, hostPath=_JUNK, emptyDir=_JUNK, nfs=_object())),
    ),
)
_MINOR = st.integers(min_value=18, max_value=40)
_ORDER = [check.id for check in CHECKS]

_settings = settings(max_examples=examples(150), deadline=None, database=None)


def _with(pod: Any, *containers: Any) -> dict[str, Any]:
    """A pod with these ephemeral containers at its end and all else as it was."""
    whole = pod if isinstance(pod, dict) else {}
    spec = whole.get("spec") if isinstance(whole.get("spec"), dict) else {}
    present = spec.get("ephemeralContainers")
    present = present if isinstance(present, list) else []
    return {**whole, "spec": {**spec, "ephemeralContainers": [*present, *containers]}}


@_settings
@given(pod=_POD, minor=_MINOR)
def test_answers_the_same_for_any_json_and_leaves_it_as_it_was(pod: Any, minor: int):
    before = repr(pod)  # not a copy: a NaN does not equal itself
    verdict = evaluate(pod, minor)
    assert isinstance(verdict, Verdict)
    assert evaluate(copy.deepcopy(pod), minor) == verdict
    assert repr(pod) == before


@_settings
@given(pod=_POD, minor=_MINOR)
def test_reasons_agree_with_the_level(pod: Any, minor: int):
    """Restricted has none; a reason against baseline leaves privileged; each is worded, once, in the checks' order."""
    verdict = evaluate(pod, minor)
    assert (verdict.level is Level.RESTRICTED) == (not verdict.reasons)
    if any(reason.level is Level.BASELINE for reason in verdict.reasons):
        assert verdict.level is Level.PRIVILEGED
    checks = [_ORDER.index(reason.check) for reason in verdict.reasons]
    assert checks == sorted(set(checks))
    # The detail of "sysctls" is the bare names, and a name may be missing: the API server then words no detail either.
    assert all(reason.reason and (reason.detail or reason.check == "sysctls") for reason in verdict.reasons)


def test_a_sysctl_without_a_name_is_forbidden_and_has_no_detail():
    verdict = evaluate({"spec": {"securityContext": {"sysctls": [{"value": "1"}]}}}, 37)
    assert [str(reason) for reason in verdict.reasons if reason.check == "sysctls"] == ["forbidden sysctls"]


@_settings
@given(pod=_POD, container=_CONTAINER, minor=_MINOR)
def test_an_additional_container_never_makes_the_level_stricter(pod: Any, container: Any, minor: int):
    assert evaluate(_with(pod, container), minor).level <= evaluate(_with(pod), minor).level


@_settings
@given(pod=_POD, minor=_MINOR)
def test_a_compliant_container_changes_nothing(pod: Any, minor: int):
    """A container that says all it must itself adds no reason and takes none away."""
    compliant = {
        "name": "good",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    assert evaluate(_with(pod, compliant), minor) == evaluate(_with(pod), minor)


@_settings
@given(pod=_POD, minor=_MINOR)
def test_a_privileged_container_always_makes_the_pod_privileged(pod: Any, minor: int):
    verdict = evaluate(_with(pod, {"name": "bad", "securityContext": {"privileged": True}}), minor)
    assert verdict.level is Level.PRIVILEGED
