"""A condition of the component table holds for a part of a resource exactly as its columns say."""

import pytest

from webhook.policy.conditions import Present, Unless, When, holds, paths_of

PATH = ("a", "b")
OTHER = [{}, {"a": None}, {"a": {}}, {"a": []}, {"a": "b"}, {"a": {"b": None}}, {"a": {"b": 1}}, {"a": {"b": "true"}}]


@pytest.mark.parametrize(
    ("condition", "on_true", "on_false", "on_other"),
    [
        (True, True, True, True),
        (False, False, False, False),
        (When(PATH), True, False, False),
        (When(PATH, equals=False), False, True, False),
        (Unless(PATH), False, True, True),
        (Unless(PATH, equals=False), True, False, True),
    ],
)
def test_a_condition_is_about_a_boolean(condition, on_true, on_false, on_other):
    """A value of another type counts as absent."""
    assert holds(condition, {"a": {"b": True}}) is on_true
    assert holds(condition, {"a": {"b": False}}) is on_false
    for part in OTHER:
        assert holds(condition, part) is on_other


@pytest.mark.parametrize(("value", "present"), [({}, True), ({"x": 1}, True), (None, False), ([], False), ("x", False)])
def test_an_object_is_present_and_nothing_else(value, present):
    assert holds(Present(PATH), {"a": {"b": value}}) is present
    assert not holds(Present(PATH), {})


def test_the_fields_that_conditions_read_are_known():
    assert paths_of([True, When(PATH), Present(("c",)), False, Unless(("d",))]) == (PATH, ("c",), ("d",))
