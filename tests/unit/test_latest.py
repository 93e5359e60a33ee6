"""A mapping of the latest keys."""

from hypothesis import given
from hypothesis import strategies as st

from webhook.latest import Latest


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from(["put", "use"]), st.integers(0, 6))))
def test_it_has_the_keys_that_were_put_or_used_last(most, steps):
    """Whatever the order; and each key has the value that it was given first, or put last."""
    latest, order, values = Latest(most), [], {}
    for number, (what, key) in enumerate(steps):
        if what == "put":
            latest.put(key, number)
            values[key] = number
        else:
            given_value = latest.use(key, lambda number=number: number)
            values[key] = values[key] if key in order else number
            assert given_value == values[key]
        order = [*(each for each in order if each != key), key][-most:]
        assert list(latest.items()) == [(each, values[each]) for each in order]
