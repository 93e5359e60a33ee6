"""Namespaces take turns, whatever waits and whatever gives up."""

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from webhook.round_robin import RoundRobin

NAMESPACES = ["a", "b", "c"]


def _filled(namespaces):
    queue = RoundRobin()
    for number, namespace in enumerate(namespaces):
        queue.add(namespace, number)
    return queue


def _taken(queue):
    """The namespace and the thing of each turn until nothing waits."""
    turns = []
    while queue:
        namespace = next(iter(queue))
        turns.append((namespace, queue.take(namespace)))
    return turns


def test_a_victim_comes_after_one_turn_of_an_attacker():
    order = [namespace for namespace, _ in _taken(_filled([*["attacker"] * 100, "victim"]))]
    assert order[:2] == ["attacker", "victim"]


@given(st.lists(st.sampled_from(NAMESPACES)), st.sets(st.integers(0, 50)))
def test_everything_gets_one_turn_and_no_namespace_gets_two_while_another_waits(namespaces, gone):
    queue = _filled(namespaces)
    left = {number: namespace for number, namespace in enumerate(namespaces) if number not in gone}
    for number, namespace in enumerate(namespaces):
        if number in gone:
            assert queue.discard(namespace, number)
            assert not queue.discard(namespace, number)
    assert len(queue) == len(left)
    assert {each: queue.waiting(each) for each in queue} == Counter(left.values())
    turns = _taken(queue)
    assert sorted((number, namespace) for namespace, number in turns) == sorted(left.items())
    for namespace in NAMESPACES:
        assert [n for each, n in turns if each == namespace] == sorted(n for n in left if left[n] == namespace)
    waiting = Counter(left.values())
    for (namespace, _), (following, _) in itertools.pairwise(turns):
        waiting[namespace] -= 1
        others = [each for each in waiting if each != namespace and waiting[each]]
        assert following != namespace or not others
