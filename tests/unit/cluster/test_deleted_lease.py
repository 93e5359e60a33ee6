"""What a candidate does when the Lease that it follows is deleted, by a clock that the test sets."""

import asyncio

import pytest

from webhook.cluster.election import USUAL, Elector
from webhook.cluster.lease import LeaseState
from webhook.telemetry.log import Log


class StoredLease:
    """The Lease `state` of a cluster, None for a deleted one; `hold` takes it."""

    identity = "this"

    def __init__(self, state):
        self.state = state

    def __str__(self):
        return "mon/vmguard"

    async def read(self, _seconds):
        return self.state

    async def hold(self, duration, _seconds):
        self.state = LeaseState(self.identity, duration, ("new", "1"))
        return self.state


class TimedCandidate:
    """A candidate whose clock shows `now`."""

    def __init__(self, state):
        self.now = 1000.0
        self.lease = StoredLease(state)
        self._elector = Elector(self.lease, {}, Log("error"))
        self._elector._clock = lambda: self.now

    @property
    def trouble(self):
        """What readiness shows of the election."""
        return self._elector.trouble

    def attempt(self):
        """Whether an attempt takes the Lease."""
        return asyncio.run(self._elector._attempt())


@pytest.mark.parametrize("seconds", [USUAL.lease, 2147483647, 0])
def test_a_holder_that_has_not_renewed_for_long_ends_with_the_lease(seconds):
    """The candidate takes it at the next attempt, however long the deleted Lease was valid."""
    candidate = TimedCandidate(LeaseState("stranger", seconds, ("old", "1")))
    assert not candidate.attempt()
    candidate.now += USUAL.lease
    if seconds > USUAL.lease:
        assert not candidate.attempt(), "as long as it is there, its own time counts"
        assert f"stranger holds the Lease for {seconds} s" in candidate.trouble
    else:
        assert not candidate.trouble
    candidate.lease.state = None
    assert candidate.attempt()
    assert not candidate.trouble
    assert candidate.lease.state.holder == "this"


def test_a_holder_that_may_still_work_has_the_time_of_a_replica():
    """Else two replicas would work: the leader notices the deletion at its next attempt only."""
    candidate = TimedCandidate(LeaseState("other-replica", USUAL.lease, ("old", "1")))
    assert not candidate.attempt()
    candidate.lease.state = None
    candidate.now += USUAL.lease - 0.1
    assert not candidate.attempt()
    candidate.now += 0.1
    assert candidate.attempt()


def test_a_recreated_lease_counts_for_its_whole_duration():
    candidate = TimedCandidate(LeaseState("stranger", 60, ("old", "1")))
    assert not candidate.attempt()
    candidate.lease.state = None
    assert not candidate.attempt()
    candidate.lease.state = LeaseState("stranger", 60, ("new", "1"))
    assert not candidate.attempt()
    candidate.now += USUAL.lease
    assert not candidate.attempt()
