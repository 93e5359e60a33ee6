"""Which connection is closed for a new one, without sockets."""

import pytest

from webhook.server.open_connections import OpenConnections, address_of


class _Connection:
    def __init__(self, idle_since=0.0, *, answering=False, reviewed=False):
        self.idle_since = self.waiting_since = idle_since
        self.answering = answering
        self.reviewed = reviewed
        self.closed = False

    def make_way(self):
        self.closed = True


NOW = 100.0


def _full(*connections):
    """A listener that these connections of hosts fill: `(host, connection)`, or with True one that was used."""
    opened = OpenConnections(len(connections), lambda: NOW)
    for host, connection, *used in connections:
        assert opened.add(connection, host)
        if used:
            opened.use(connection)
    return opened


def test_the_oldest_unused_connection_of_the_address_with_most_is_closed():
    victim, old, older = _Connection(), _Connection(), _Connection()
    opened = _full(("10.0.0.1", victim), ("10.0.0.2", older), ("10.0.0.2", old))
    assert opened.add(_Connection(), "10.0.0.3")
    assert (victim.closed, older.closed, old.closed) == (False, True, False)
    assert (len(opened), opened.closed) == (3, 1)


def test_an_unused_connection_is_closed_before_one_that_carried_requests():
    used, unused = _Connection(idle_since=0), _Connection(idle_since=100)
    opened = _full(("10.0.0.2", used, True), ("10.0.0.2", _Connection(), True), ("10.0.0.1", unused))
    assert opened.add(_Connection(), "10.0.0.2")
    assert (used.closed, unused.closed) == (False, True)


def test_a_connection_that_carried_a_valid_review_is_closed_last():
    """Behind NAT the API server has the address of the attacker, and its connection may be idle the longest."""
    reviewed, used = _Connection(idle_since=0, reviewed=True), _Connection(idle_since=100)
    opened = _full(("10.0.0.1", reviewed, True), ("10.0.0.1", used, True))
    assert opened.add(_Connection(), "10.0.0.1")
    assert (reviewed.closed, used.closed) == (False, True)


def test_of_used_connections_the_one_that_is_idle_the_longest_is_closed():
    recent, longest = _Connection(idle_since=20), _Connection(idle_since=10)
    alone = _Connection(idle_since=1)
    opened = _full(("10.0.0.1", recent, True), ("10.0.0.1", longest, True), ("10.0.0.2", alone, True))
    assert opened.add(_Connection(), "10.0.0.3")
    assert (recent.closed, longest.closed, alone.closed) == (False, True, False)


def test_a_connection_that_has_just_begun_to_answer_is_never_closed():
    busy = [_Connection(NOW, answering=True) for _ in range(3)]
    opened = _full(("10.0.0.1", busy[0]), ("10.0.0.1", busy[1], True), ("10.0.0.2", busy[2], True))
    assert not opened.add(_Connection(), "10.0.0.3")
    assert [each.closed for each in busy] == [False] * 3
    busy[2].answering = False
    assert opened.add(_Connection(), "10.0.0.3")
    assert busy[2].closed
    assert (opened.closed, opened.refused) == (1, 1)


def test_where_all_answer_the_one_that_waits_the_longest_of_the_address_with_most_is_closed():
    """A client whose reviews wait for the API server does not shut it out."""
    victim = _Connection(NOW - 60, answering=True)
    old, older = (_Connection(NOW - seconds, answering=True) for seconds in (20, 30))
    opened = _full(("10.0.0.1", victim, True), ("10.0.0.2", old, True), ("10.0.0.2", older))
    assert opened.add(_Connection(NOW), "10.0.0.1")
    assert (victim.closed, old.closed, older.closed) == (False, False, True)


def test_of_those_that_wait_one_that_carried_a_valid_review_is_closed_last():
    """Behind NAT the API server's connections have one address, and can be the most."""
    reviewed = [_Connection(NOW - 60, answering=True, reviewed=True) for _ in range(2)]
    attacker = _Connection(NOW - 30, answering=True)
    opened = _full(("10.0.0.1", reviewed[0], True), ("10.0.0.1", reviewed[1], True), ("10.0.0.2", attacker))
    assert opened.add(_Connection(NOW), "10.0.0.1")
    assert ([each.closed for each in reviewed], attacker.closed) == ([False, False], True)


def test_a_closed_connection_leaves_nothing_behind():
    opened = OpenConnections(10)
    for number in range(100):
        connection = _Connection()
        opened.add(connection, f"10.0.0.{number}")
        if number % 2:
            opened.use(connection)
        opened.remove(connection)
        opened.remove(connection)
        opened.use(connection)
    assert len(opened) == 0
    assert not any((opened._unused, opened._used, opened._addresses))


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::"),
        ("2001:db8::ffff:1", "2001:db8::"),
        ("2001:db8:0:1::1", "2001:db8:0:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_one_machine_is_one_address(host, address):
    """A machine with IPv6 has a whole /64, so its connections do not count apart."""
    assert address_of(host) == address
