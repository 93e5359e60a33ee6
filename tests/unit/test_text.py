"""`nearest` finds the names that are most like a wrong one, and `mismatch` rewords errors of msgspec."""

import pytest

from webhook.text import mismatch, nearest


def test_the_most_alike_go_first_and_what_is_unlike_is_left_out():
    existing = ("privileged", "vm-restricted", "restricted-vm", "restricted", "restricted-vms")
    assert nearest("restricted-vn", existing) == ("restricted-vm", "restricted-vms", "restricted")
    assert nearest("zzz", existing) == ()
    assert nearest("x", ()) == ()


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Expected `str | null`, got `int` - at `$.metadata.name`", "metadata.name is an integer but must be a string"),
        ("Expected `array | null`, got `object` - at `$.a[...].b`", "a[...].b is an object but must be an array"),
        ("Expected `int | bool`, got `float`", "it is a number but must be an integer or a boolean"),
        ("Object missing required field `a`", "Object missing required field `a`"),
    ],
)
def test_a_wrong_type_is_named_in_plain_words(text, plain):
    assert mismatch(text) == plain
