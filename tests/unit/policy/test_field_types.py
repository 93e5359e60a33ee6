"""A value of the wrong JSON type in a field that decides is reported, and never read as unset or as an opt-out."""

import json

import pytest

from tests.support.command import vmguard
from tests.support.sample_pods import decide, pod, resource, workload
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.conditions import EACH
from webhook.policy.context_fields import FIELDS
from webhook.policy.field_types import CONTEXT, LEAVES, type_of, written_wrong_types, wrong_types
from webhook.policy.parents import spec_paths
from webhook.policy.projection import TREES, paths_of_kind, project

SAMPLES = {
    "boolean": True,
    "integer": 7,
    "number": 1.5,
    "string": "false",
    "empty string": "",
    "object": {"x": 1},
    "array": ["x"],
}
KINDS = (*BY_KIND, *PARENTS)


def _schema_paths(schema, path=()):
    """Every field below a schema of `field_types`, with its type."""
    if isinstance(schema, str):
        yield path, schema
        return
    yield path, "array" if EACH in schema else "object"
    for field, inner in schema.items():
        yield from _schema_paths(inner, (*path, field))


def _typed_paths(kind):
    """Every field that decides for a kind, with its type: on the way to a leaf, the leaf, and below securityContext."""
    found = {}
    for path in paths_of_kind(kind):
        for length in range(1, len(path)):
            outer = path[:length]
            found[outer] = "array" if path[length] == EACH else "object"
        found[path] = LEAVES[path[-1]]
        if path[-1] == "securityContext":
            found |= {(*path, *below): of_type for below, of_type in _schema_paths(CONTEXT) if below}
    return found


def _spec(path, value):
    for field in reversed(path):
        value = [value] if field == EACH else {field: value}
    return value


def _wrong(kind):
    for path, expected in _typed_paths(kind).items():
        for name, value in SAMPLES.items():
            if type_of(value) != expected:
                yield pytest.param(path, expected, value, id=f"{'.'.join(path)}={name}")


def _shown(path):
    return "spec." + ".".join(path).replace(f".{EACH}", "[0]")


@pytest.mark.parametrize("kind", KINDS)
def test_each_deciding_field_with_each_wrong_type_is_reported(kind):
    """The report names the field, the type that was found and the type that it must have."""
    count = 0
    for case in _wrong(kind):
        path, expected, value = case.values
        spec = _spec(path, value)
        (wrong,) = wrong_types(kind, spec)
        assert (wrong.path, wrong.found, wrong.expected) == (_shown(path), type_of(value), expected)
        assert [each.path for each in wrong_types(kind, project(kind, spec))] == [wrong.path], (
            "of a cached resource too"
        )
        count += 1
    assert count > 30


@pytest.mark.parametrize("kind", PARENTS)
def test_each_deciding_field_of_a_child_is_reported_in_the_parent(kind):
    """In each place where a parent has the spec of a child."""
    count = 0
    for child in PARENTS[kind].values():
        for place in spec_paths(child):
            for case in _wrong(child.kind):
                path, expected, value = case.values
                (wrong,) = written_wrong_types(kind, _spec((*place, *path), value))
                assert (wrong.path, wrong.expected) == (_shown((*place, *path)), expected)
                count += 1
    assert count > 1000


def test_a_parent_with_a_wrong_type_for_a_child_is_denied_and_one_that_had_it_before_is_not():
    spec = {"zones": [{"name": "a"}], "zoneCommon": {"vmagent": {"spec": {"securityContext": {"runAsUser": "0"}}}}}
    wrong = resource("VMDistributed", "d", spec)
    decision = decide(wrong, [], webhook="validate")
    assert not decision.allowed
    assert (
        "spec.zoneCommon.vmagent.spec.securityContext.runAsUser is a string but must be an integer" in decision.message
    )
    again = decide(wrong, [], webhook="validate", operation="UPDATE", review={"oldObject": wrong})
    assert again.allowed


def _zones(*users):
    part = [{"vmselect": {"securityContext": {"runAsUser": user}}} for user in users]
    return {"zones": [{"name": f"z{index}", "vmcluster": {"spec": each}} for index, each in enumerate(part)]}


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ((5, "1"), ("1",), True),
        (("1",) * 7, ("1",) * 6 + (1,), True),
        (("1",) * 7, ("1",) * 8, False),
        (("1", 5), (5, "1"), True),
        ((5, 5), (5, "1"), False),
        ((5, "1"), (5, True), False),
        (("1",) * 1001, ("1",) * 1001, False),
    ],
    ids=lambda each: str(each)[:30],
)
def test_an_update_is_denied_for_the_wrong_types_that_it_brings_alone(before, after, allowed):
    """A zone may be removed, moved or corrected though another one has the wrong type still."""
    old, new = (resource("VMDistributed", "d", _zones(*users)) for users in (before, after))
    decision = decide(new, [], webhook="validate", operation="UPDATE", review={"oldObject": old})
    assert decision.allowed is allowed


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_type_and_null_are_accepted(kind):
    right = {"boolean": True, "integer": 7, "string": "x", "object": {}, "array": []}
    for path, expected in _typed_paths(kind).items():
        assert wrong_types(kind, _spec(path, right[expected])) == ()
        if path[-1] != EACH:
            assert wrong_types(kind, _spec(path, None)) == ()


def test_every_field_that_is_read_has_a_type():
    leaves = {path[-1] for kind in KINDS for path in paths_of_kind(kind)}
    assert leaves == set(LEAVES)
    assert all(row.types for row in FIELDS)
    assert TREES.keys() == set(KINDS)


def _of_single(spec):
    cr = resource("VMSingle", spec=spec)
    deployment = workload("Deployment", "vmsingle-db", cr)
    replicas = workload("ReplicaSet", "vmsingle-db-1", deployment)
    return cr, pod(replicas), [cr, deployment, replicas]


@pytest.mark.parametrize(("path", "expected", "value"), list(_wrong("VMSingle")))
def test_nothing_is_decided_by_a_resource_with_a_wrong_type(path, expected, value):
    """Its pods are refused as their owner is not knowable, and the resource is denied when it is created."""
    cr, asked, objects = _of_single(_spec(path, value))
    for webhook in ("mutate", "validate"):
        decision = decide(asked, objects, webhook=webhook)
        assert (decision.outcome, decision.patch) == ("refused", ())
        assert _shown(path) in decision.refused
    decision = decide(cr, [], webhook="validate")
    assert (decision.outcome, decision.allowed, decision.postures) == ("denied", False, ())
    for part in (_shown(path), type_of(value), expected):
        assert part in decision.message


@pytest.mark.parametrize("kind", ["VMDistributed"])
def test_a_wrong_type_in_a_parent_makes_the_owner_of_its_childrens_pods_unknown(kind):
    parent = resource(kind, "d", {"zoneCommon": {"vmsingle": {"spec": {"useStrictSecurity": "false"}}}})
    cr = resource("VMSingle", "d-a", {"useStrictSecurity": False}, parent)
    deployment = workload("Deployment", "vmsingle-d-a", cr)
    replicas = workload("ReplicaSet", "y", deployment)
    decision = decide(pod(replicas), [parent, cr, deployment, replicas])
    assert decision.outcome == "refused"
    assert "spec.zoneCommon.vmsingle.spec.useStrictSecurity is a string but must be a boolean" in decision.refused


def test_an_update_that_leaves_a_wrong_type_as_it_was_is_allowed_with_a_warning():
    """A resource with a wrong type can be deleted: removing its finalizer is an update."""
    cr = resource("VMSingle", spec={"useStrictSecurity": "false"})
    other = resource("VMSingle", spec={"useStrictSecurity": "false", "retentionPeriod": "1"})
    settled = decide(cr, [], webhook="validate", review={"operation": "UPDATE", "oldObject": other})
    assert (settled.outcome, settled.allowed) == ("unknown", True)
    assert "spec.useStrictSecurity is a string" in settled.warnings[0]
    before = resource("VMSingle", spec={"useStrictSecurity": False})
    brought = decide(cr, [], webhook="validate", review={"operation": "UPDATE", "oldObject": before})
    assert (brought.outcome, brought.allowed) == ("denied", False)


@pytest.mark.parametrize(("mode", "outcome"), [("enforce", "denied"), ("audit", "would-deny")])
def test_a_settled_wrong_type_hides_no_missing_policy(mode, outcome):
    """An update that names a missing PodSecurityPolicy is denied, whatever else was wrong before."""
    wrong = {"useStrictSecurity": "false"}
    before, after = (resource("VMSingle", spec={**wrong, **more}) for more in ({}, {"podSecurityPolicyName": "gone"}))
    review = {"operation": "UPDATE", "oldObject": before}
    decision = decide(after, [], webhook="validate", minor=24, review=review, VMGUARD_MODE=mode)
    assert decision.outcome == outcome
    assert "'gone'" in (decision.message or decision.warnings[0])


def test_audit_mode_denies_nothing_and_warns():
    cr, asked, objects = _of_single({"securityContext": ""})
    decision = decide(cr, [], webhook="validate", VMGUARD_MODE="audit")
    assert (decision.outcome, decision.allowed) == ("would-deny", True)
    assert "spec.securityContext is a string but must be an object" in decision.warnings[0]
    assert decide(asked, objects, VMGUARD_MODE="audit").outcome == "unknown"


def test_review_of_a_resource_and_of_its_pod_exits_with_1_and_names_the_field(tmp_path):
    cr, asked, objects = _of_single({"useStrictSecurity": "false"})
    files = {"cr": cr, "pod": asked, "objects": {"apiVersion": "v1", "kind": "List", "items": objects}}
    for name, thing in files.items():
        (tmp_path / name).write_text(json.dumps(thing))
    text = "spec.useStrictSecurity is a string but must be a boolean"
    status, _, stderr = vmguard("review", "--output", "explain", str(tmp_path / "cr"))
    assert (status, text in stderr) == (1, True)
    status, stdout, _ = vmguard("review", "--objects", str(tmp_path / "objects"), str(tmp_path / "pod"))
    assert (status, text in stdout) == (1, True)


def test_a_wrong_type_of_any_size_is_cached_in_a_small_form():
    cached = project("VMCluster", {"vmselect": "x" * 1_000_000, "vmstorage": [1] * 1_000_000})
    assert len(json.dumps(cached)) < 100
