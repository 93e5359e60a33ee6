"""The budget for the bodies of requests, without connections."""

from hypothesis import given
from hypothesis import strategies as st

from webhook.server.body_budget import SMALL, BodyBudget

MIB = 1024 * 1024


class _Holder:
    """A request that notes when it had to give way."""

    def __init__(self):
        self.gave_way = False

    def give_way(self):
        self.gave_way = True


def test_bodies_count_until_their_requests_are_answered():
    budget = BodyBudget(10 * MIB, 0)
    one, other = _Holder(), _Holder()
    assert budget.hold(one, MIB, whole=False)
    assert budget.hold(one, 3 * MIB, whole=True)
    assert budget.hold(other, 2 * MIB, whole=True)
    assert budget.held == 5 * MIB
    budget.release(one)
    budget.release(one)
    assert budget.held == 2 * MIB


def test_the_oldest_unfinished_body_gives_way():
    budget = BodyBudget(10 * MIB, 0)
    slow, slower, new = _Holder(), _Holder(), _Holder()
    budget.hold(slower, 4 * MIB, whole=False)
    budget.hold(slow, 4 * MIB, whole=False)
    budget.hold(slower, 5 * MIB, whole=False)
    assert budget.hold(new, 4 * MIB, whole=False)
    assert (slower.gave_way, slow.gave_way) == (True, False)
    assert budget.held == 8 * MIB


def test_a_whole_body_never_gives_way():
    """Its decision may wait for a lookup; the new one is refused instead, and nothing else is given up for it."""
    budget = BodyBudget(10 * MIB, 0)
    whole, unfinished, new = _Holder(), _Holder(), _Holder()
    budget.hold(whole, 8 * MIB, whole=True)
    budget.hold(unfinished, MIB, whole=False)
    assert not budget.hold(new, 3 * MIB, whole=True)
    assert (whole.gave_way, unfinished.gave_way, new.gave_way) == (False, False, False)
    assert (budget.held, budget.refused) == (9 * MIB, 1)


def test_large_bodies_that_wait_leave_room_for_small_ones():
    budget = BodyBudget(10 * MIB, 2 * MIB)
    waiting = [_Holder() for _ in range(20)]
    taken = [budget.hold(each, MIB, whole=True) for each in waiting]
    assert taken.count(True) == 8
    assert all(budget.hold(_Holder(), SMALL, whole=True) for _ in range(2 * MIB // SMALL))
    assert not budget.hold(_Holder(), SMALL, whole=True)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from([1, 60, SMALL, 5 * SMALL]), st.sampled_from(["part", "whole", "end"])
        )
    )
)
def test_what_is_held_is_the_sum_of_the_bodies_and_never_above_the_budget(steps):
    budget, sizes = BodyBudget(10 * SMALL, 2 * SMALL), {}
    holders = [_Holder() for _ in range(10)]
    for number, size, step in steps:
        holder = holders[number]
        if step == "end":
            budget.release(holder)
            sizes.pop(number, None)
        else:
            sizes[number] = sizes.get(number, 0) + size
            if not budget.hold(holder, sizes[number], whole=step == "whole"):
                del sizes[number]
        for other in range(10):
            if holders[other].gave_way:
                sizes.pop(other, None)
                holders[other].gave_way = False
        assert budget.held == sum(sizes.values()) <= 10 * SMALL
