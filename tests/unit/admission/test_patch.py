"""A patch of fewer and larger operations makes the same pod as one operation for each edit."""

import copy

import jsonpatch
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.sample_pods import decide, vmsingle
from tests.support.strategies import cases
from webhook.admission.patch import Edit, build


def _applied(pod, operations):
    return jsonpatch.apply_patch(pod, msgspec.to_builtins(operations))


@pytest.mark.slow
@given(cases())
@settings(max_examples=examples(300), deadline=None)
def test_objects_that_are_written_anew_make_the_same_pod(case):
    asked, objects, minor, environment = case
    before = copy.deepcopy(asked)
    decision = decide(asked, objects, minor=minor, **environment)
    single = build(msgspec.structs.replace(change.edit, whole=None) for change in decision.changes)
    assert _applied(asked, decision.patch) == _applied(asked, single)
    assert len(decision.patch) <= len(single)
    assert asked == before


MEMBERS = st.fixed_dictionaries(
    {}, optional={"a": st.none(), "b": st.integers(), "nested": st.sampled_from([None, {}, {"x": 1}]), "c": st.text()}
)


@pytest.mark.slow
@given(MEMBERS, st.lists(st.sampled_from(["d", "e", "f", "nested/y", "nested/z"]), unique=True))
def test_members_that_are_there_are_kept_and_the_input_is_not_changed(members, leaves):
    members = {**members, "there": True}
    before = copy.deepcopy(members)
    edits = [
        Edit("add", f"/o/{leaf}", 1, "/o/nested" if "/" in leaf and not members.get("nested") else "", ("/o", members))
        for leaf in leaves
    ]
    made = _applied({"o": members}, build(edits))["o"]
    assert members == before
    wanted = copy.deepcopy(before)
    for leaf in leaves:
        parent, _, name = leaf.rpartition("/")
        if parent:
            wanted["nested"] = {**(wanted.get("nested") or {}), name: 1}
        else:
            wanted[name] = 1
    assert made == wanted


@pytest.mark.parametrize(("context", "operations"), [({"capabilities": {"drop": ["ALL"]}}, 1), ({"x": "y" * 2000}, 7)])
def test_an_object_is_written_anew_only_where_that_is_shorter(context, operations):
    pod, objects = vmsingle(None, {"containers": [{"name": "vmsingle", "securityContext": context}]})
    patch = decide(pod, objects).patch
    assert len([each for each in patch if each.path.startswith("/spec/containers/0/securityContext")]) == operations
