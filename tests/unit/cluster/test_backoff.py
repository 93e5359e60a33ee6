"""Pauses between attempts double up to a longest one."""

import pytest

from webhook.cluster.backoff import Backoff


def _near(*seconds):
    return [pytest.approx(each, rel=0.21) for each in seconds]


def test_pauses_double_up_to_the_longest():
    backoff = Backoff(0.2, 10.0)
    assert [backoff.after() for _ in range(8)] == _near(0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10)


def test_they_start_anew_only_after_what_lived_longer_than_the_pause_to_come():
    backoff = Backoff(0.2, 10.0)
    assert [backoff.after(lived) for lived in (0, 0.3, 0.7, 0.9, 0)] == _near(0.2, 0.4, 0.8, 1.6, 3.2)
    assert [backoff.after(lived) for lived in (7, 0.1, 5)] == _near(0.2, 0.4, 0.2)


def test_where_there_is_no_hope_the_longest_comes_at_once():
    backoff = Backoff(0.2, 10.0)
    assert [backoff.longest(), backoff.after(9), backoff.after(11)] == _near(10, 10, 0.2)


def test_replicas_wait_for_different_times():
    assert len({Backoff().after() for _ in range(20)}) > 1
