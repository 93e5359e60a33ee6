"""Every field of a security context through real API servers, with vmguard before and after their own validation."""

import json

import pytest

from tests.controlplane.api import ApiError
from tests.controlplane.stand_in_operator import recreate
from tests.support.context_values import VALUES, pod_spec, trials
from tests.support.golden import ROOT, Case
from tests.support.openapi_contexts import RECORDED, properties, without_row

SINGLE = Case(ROOT / "strict--v0.53.0-to-v0.54.0-strict--vmsingle-relabel--vmsingle-t")

SINCE = {"appArmorProfile": "1.30", "supplementalGroupsPolicy": "1.34", "seLinuxChangePolicy": "1.34"}
"""The first version of `make matrix` that has a field by default: vmguard never sees it in an older one."""

KEPT_SINCE = {**SINCE, "procMount": "1.34"}
"""The same of fields that are dropped: an older one sets procMount to Default after the mutating webhooks."""


@pytest.mark.parametrize("name", ["plane", "plane_124"])
def test_every_field_of_a_real_api_server_has_a_row(name, request):
    """No field, and no member of a field, in the API server's OpenAPI is unknown to the table; the record is right."""
    server = request.getfixturevalue(name)
    answer = server.api.request("GET", "/openapi/v2")
    found = properties(json.loads(answer) if isinstance(answer, str) else answer)  # 1.24 does not call it JSON
    assert without_row(found) == []
    assert found == RECORDED.get(server.version, found)


@pytest.fixture(scope="module", params=["", "_124"], ids=["1.37", "1.24"])
def owned(request):
    """A control plane, a namespace of it under VMGUARD_ENFORCE=deny, and the owner references of a VMSingle's pods.

    And a namespace in which the API server calls no vmguard.
    """
    plane = request.getfixturevalue(f"plane{request.param}")
    guard = request.getfixturevalue(f"guard{request.param}")
    namespace = guard(VMGUARD_ENFORCE="deny", VM_ENABLESTRICTSECURITY="true").namespace()
    recreate(SINGLE, plane.api, namespace).pod()
    (replicas,) = plane.api.list("apps/v1", "ReplicaSet", namespace)
    names = {name: replicas["metadata"][name] for name in ("name", "uid")}
    owners = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True, **names}]
    return plane, namespace, owners, plane.namespace(f"without-{namespace}")


def _outcome(plane, namespace, owners, trial):
    """What comes of a pod with that value: it is admitted, or who refuses it and why; with the text."""
    metadata = {"name": "trial", "labels": {"managed-by": "vm-operator"}, "ownerReferences": owners}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(trial)}
    try:
        plane.api.create(pod, namespace, dryRun="All")
    except ApiError as error:
        if "denied the request" in str(error):
            return "denied", str(error)
        return {400: "undecodable", 422: "invalid"}.get(error.status, "failed"), str(error)
    return "admitted", ""


VALUES_SINCE = {("seLinuxChangePolicy", "MountOption"): "1.37"}
"""The same of a value of a field that is there: an older one refuses it."""


def _is_older(plane, field, since):
    """Whether a control plane is older than the first version with a field."""
    return field in since and _minor(plane.version) < _minor(since[field])


def _minor(version):
    return int(version.rpartition(".")[2])


def _expected(plane, trial):
    """The outcome with vmguard, which denies a value before the API server validates it."""
    api = "drops" if _is_older(plane, trial.field, SINCE) else trial.api
    if trial.denied and api in {"takes", "invalid"}:
        return "denied"
    if api == "takes" and _minor(plane.version) < _minor(VALUES_SINCE.get((trial.field, str(trial.value)), "1.0")):
        return "invalid"
    return api if api in {"invalid", "undecodable"} else "admitted"


@pytest.mark.parametrize("field", dict.fromkeys(name for name, _ in VALUES))
def test_a_value_that_is_neither_strict_nor_accepted_never_gets_in(owned, field):
    """Strict and accepted values are admitted; weak and unknown ones are denied by vmguard or the API server."""
    plane, namespace, owners, without_vmguard = owned
    found = {
        str(trial): (trial, *_outcome(plane, namespace, owners, trial)) for trial in trials() if trial.field == field
    }
    outcomes = {name: outcome for name, (_, outcome, _) in found.items()}
    expected = {name: _expected(plane, trial) for name, (trial, _, _) in found.items()}
    assert outcomes == expected, [text for _, _, text in found.values() if text]
    for trial, outcome, text in found.values():
        if trial.api == "invalid" and not _is_older(plane, trial.field, KEPT_SINCE):
            assert _outcome(plane, without_vmguard, owners, trial)[0] == "invalid", str(trial)
        dotted = trial.path.removeprefix("/").replace("/0", "[0]").replace("/", ".")
        assert outcome != "denied" or f"not compliant: {dotted} is " in text or f"; {dotted} is " in text
