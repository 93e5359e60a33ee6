"""Any servers, any order of events: what a server shows is trusted by every client, however late it learns of a bundle.

The model has one shared state with versions (the Secret), two bundles (the configurations), clients that may still
have each bundle of the last minute, and servers. A server's turn is cut into its single reads and writes. Another
server's turn, or the end of the process, may come between any two of them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from certs import OVERLAP, SETTLED, Authority, Installed, Issued, Rotation, from_data, heal, next_leaf, step, to_data
from certs.authority import AUTHORITY_NAME
from certs.pem import certificates_in
from tests.support.certificates import DAY, NOON
from tests.support.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509

pytestmark = pytest.mark.slow

NAME = "vmguard.vmguard-system.svc"
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
READING = 5 * SECOND
"""Between two readings of a server."""

LEARNT = OVERLAP - 2 * READING
"""Each client learns of a bundle within this time. No server sees what is away only between two of its readings."""

SERVERS = st.sampled_from(("a", "b", "c"))
SPANS = st.sampled_from((SECOND, 10 * SECOND, OVERLAP / 2, OVERLAP, HOUR, 10 * HOUR, DAY, 80 * DAY, 130 * DAY))
JUMPS = st.sampled_from((-HOUR, HOUR, -8 * DAY, 8 * DAY, 200 * DAY, 400 * DAY))
DAMAGES = st.sampled_from(("emptied", "tls.crt", "tls.key", "next.crt", "next.key", "old.crt", "old.until", "older"))


def make(now):
    return Authority.create(AUTHORITY_NAME, now=now, lifetime=365 * DAY, only=NAME)


class Replica:
    """One process: what it knows, what it shows, and the turn that it is in. `offset` is how wrong its clock is."""

    def __init__(self, world: World, offset: timedelta) -> None:
        self.world, self.offset = world, offset
        self.known, self.installed = Rotation(), Installed()
        self.shown: Issued | None = None
        self.turn: Iterator[None] | None = None
        self.is_sure = True
        self.data, self.since = {}, 0.0

    @property
    def now(self):
        return self.world.now + self.offset

    def go(self):
        """Do the next single read or write."""
        self.turn = self.turn or self.one_turn()
        if next(self.turn, "end") == "end":
            self.turn = None

    def one_turn(self):
        world = self.world
        bundles, at = dict(world.bundles), world.elapsed
        yield
        version, data = world.version, world.data
        found, faults = from_data(data, NAME)
        installed = [certificates_in(pem, "") for pem in bundles.values() if pem]
        trusted = [each for some in installed for each in some]
        state = heal(found, self.known, trusted, now=self.now, damaged=bool(faults))
        concerned = {*state.trusted, *((self.shown.signer,) if self.shown else ())}
        parsed = [certificates_in(pem, "") if pem else () for pem in bundles.values()]
        self.installed.observe(parsed, concerned, at=world.elapsed)
        lasting = self.installed.lasting(state.trusted, at=at)
        if data != self.data:
            self.data, self.since = data, world.elapsed
        unchanged = timedelta(seconds=at - self.since)
        state = step(state, now=self.now, installed=lasting, unchanged=unchanged, create=lambda: make(self.now))
        yield
        if to_data(state) != dict(data):
            if world.version != version:
                return
            world.version, world.data = version + 1, to_data(state)
            yield
        self.known = state
        for each, pem in bundles.items():
            if pem != state.bundle and world.bundles[each] == pem:
                world.bundles[each] = state.bundle
                world.history.append((world.elapsed, each, pem))
            yield
        self.show(at)

    def show(self, at):
        before = self.shown
        self.shown = next_leaf(before, self.known, self.installed, name=NAME, now=self.now, at=at)
        if self.shown is not before and self.shown:
            was_good = before is not None and self.world.trusts(before) and before.leaf.untimely(now=self.now) is None
            self.is_sure = was_good or self.world.trusts(self.shown)


class World(RuleBasedStateMachine):
    """The shared state and the servers."""

    @initialize()
    def begin(self):
        self.now, self.elapsed = NOON, 0.0
        self.version, self.data = 0, {}
        self.older = {}
        self.bundles = {"mutating": b"", "validating": b""}
        self.history = []
        self.servers = {name: Replica(self, timedelta(0)) for name in ("a", "b", "c")}

    def clients(self) -> list[tuple[x509.Certificate, ...]]:
        """Each bundle that a client may have: the newest ones, and those replaced within the last minute."""
        recent = [pem for at, _, pem in self.history if self.elapsed - at < LEARNT.total_seconds()]
        return [certificates_in(pem, "") if pem else () for pem in (*self.bundles.values(), *recent)]

    def trusts(self, issued: Issued) -> bool:
        """Whether every client trusts a leaf."""
        return all(issued.signer in bundle for bundle in self.clients())

    @rule(name=SERVERS, steps=st.integers(1, 12))
    def server_goes_on(self, name, steps):
        for _ in range(steps):
            self.servers[name].go()

    @rule(span=SPANS)
    def time_passes(self, span):
        """While servers work: each reads the state every few seconds, so all finish a turn in any longer time."""
        parts = (span,) if span < OVERLAP else (READING, span - READING)
        for part in parts:
            self.now += part
            self.elapsed += part.total_seconds()
            if span >= OVERLAP:
                self.everybody()

    def everybody(self):
        for server in self.servers.values():
            for _ in range(12):
                server.go()

    @rule(span=SPANS)
    def machines_are_suspended(self, span):
        """The wall clock goes on, the monotonic one does not. Then every server looks at the wall clock."""
        self.now += span
        self.everybody()

    @rule(name=SERVERS, offset=JUMPS)
    def a_clock_jumps(self, name, offset):
        self.servers[name].offset = offset

    @rule(name=SERVERS)
    def a_clock_is_corrected(self, name):
        self.servers[name].offset = timedelta(0)

    @rule(name=SERVERS)
    def a_turn_is_cut_off(self, name):
        """As a leader that loses its connection."""
        self.servers[name].turn = None

    @rule(name=SERVERS)
    def a_process_is_killed(self, name):
        self.servers[name] = Replica(self, self.servers[name].offset)

    @precondition(lambda self: self.data)
    @rule(damage=DAMAGES)
    def the_state_is_damaged(self, damage):
        self.version += 1
        if damage == "emptied":
            self.data = {}
        elif damage == "older":
            self.replace_by_older()
        else:
            self.data = {**self.data, damage: b"no PEM"}

    def replace_by_older(self):
        """As a backup that is restored; of a state before the last rotation docs/certificates.md promises less."""
        older = self.older or self.data
        trusted = from_data(older, NAME)[0].trusted
        if all(server.shown is None or server.shown.signer in trusted for server in self.servers.values()):
            self.data, self.older = older, self.data

    @rule()
    def the_rotation_is_begun_by_hand(self):
        state, faults = from_data(self.data, NAME)
        if state.current and not state.next and not faults:
            self.version += 1
            self.data = to_data(Rotation(state.current, make(self.now), state.old, state.old_until))

    @precondition(lambda self: self.data and all(abs(each.offset) <= HOUR for each in self.servers.values()))
    @rule(name=SERVERS, restarted=st.integers(0, 12))
    def an_authority_is_rotated_and_forgotten_by_hand(self, name, restarted):
        """A leak of the key, with right clocks. Meanwhile a process restarts."""
        self.the_rotation_is_begun_by_hand()
        following = from_data(self.data, NAME)[0].next
        for turn in range(30):
            if turn == restarted:
                self.a_process_is_killed(name)
            self.ten_seconds()
            if following is None or from_data(self.data, NAME)[0].current == following:
                break
        for _ in range(SETTLED // (10 * SECOND)):
            self.ten_seconds()
        state, faults = from_data(self.data, NAME)
        if following and state.current == following and state.next is None and not faults:
            self.version += 1
            self.data = to_data(Rotation(following))
        for server in self.servers.values():  # each single step counts: a server that is not trusted changes soon
            for _ in range(12):
                server.go()
                self.every_client_trusts_what_is_shown()

    def ten_seconds(self):
        self.time_passes(10 * SECOND)
        self.everybody()
        self.every_client_trusts_what_is_shown()

    @invariant()
    def every_client_trusts_what_is_shown(self):
        """Apart from leaves that were shown before clients knew of their authority, as there was no other leaf."""
        for name, server in self.servers.items():
            if server.shown is None:
                continue
            is_trusted = self.trusts(server.shown)
            server.is_sure = server.is_sure or is_trusted
            assert is_trusted or not server.is_sure, name

    def teardown(self):
        """Whatever happened: with clocks that are right, all is well within minutes."""
        if not hasattr(self, "servers"):
            return
        for server in self.servers.values():
            server.offset, server.turn = timedelta(0), None
        for _ in range(6):
            self.time_passes(2 * OVERLAP)
        for server in self.servers.values():
            assert server.shown
            assert server.shown.leaf.untimely(now=self.now) is None
            for bundle in self.clients():
                assert server.shown.signer in bundle
                (signer,) = [each for each in bundle if each == server.shown.signer]
                assert signer.not_valid_before_utc <= self.now <= signer.not_valid_after_utc


World.TestCase.settings = settings(
    max_examples=examples(60),
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)  # a failing order of events takes minutes to shrink
test_any_order_of_events = World.TestCase
