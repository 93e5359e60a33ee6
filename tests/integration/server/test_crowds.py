"""Clients that take connections and memory do not shut an API server out: connections and bytes are counted."""

import contextlib
import json
import re
import resource
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.support.admission_reviews import pod_review
from tests.support.raw_connections import files, memory, plain, tls, within
from tests.support.sample_pods import vmsingle
from tests.support.server import Server, serving
from webhook.server.body_budget import MOST
from webhook.server.open_connections import MOST as MOST_CONNECTIONS

ATTACKER = "127.0.0.2"
REVIEW = pod_review(vmsingle()[0])
HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path, vmsingle()[1]) as running:
        yield running


@contextlib.contextmanager
def held(connect: Callable[[], socket.socket], count: int) -> Iterator[list[socket.socket]]:
    """So many connections, as far as the server takes them."""
    there: list[socket.socket] = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):  # it was closed while it was made
                there.append(connect())
        yield there
    finally:
        for each in there:
            each.close()


def _half_sent(server: Server) -> socket.socket:
    connection = tls(server, ATTACKER)
    connection.sendall(HEAD % 1000 + b"{")
    return connection


def _answered(server: Server) -> socket.socket:
    connection = tls(server, ATTACKER)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.recv(1)
    return connection


CROWDS: dict[str, Callable[[Server], socket.socket]] = {
    "idle": lambda server: tls(server, ATTACKER),
    "without a handshake": lambda server: plain(server, ATTACKER),
    "with half a request": _half_sent,
    "with an answered request": _answered,
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_a_thousand_connections_of_one_client_shut_no_other_client_out(server, crowd):
    """vmguard accepts the victim's new connections, and the connection with an earlier review stays open."""
    known = server.connect()
    try:
        assert _reviewed(known) == 200
        with held(lambda: CROWDS[crowd](server), MOST_CONNECTIONS + 100):
            assert [server.ask("POST", "/mutate", REVIEW)[0] for _ in range(5)] == [200] * 5
            assert _reviewed(known) == 200
            assert server.metric('vmguard_connections{listener="webhook"}') <= MOST_CONNECTIONS
            assert server.metric('vmguard_connections_ended_total{listener="webhook",reason="full"}') >= 100
            code, text = server.operation("/readyz?verbose")
            assert code == 200, "it serves on"
            assert re.search(r"^\[!\]webhook-connections \d+ of 1000 are open", text, re.MULTILINE)
            lines = [line for line in server.lines() if "closed to make room" in line["message"]]
            assert 1 <= len(lines) <= 30, "there is a bounded number of log lines"
    finally:
        known.close()
    within(lambda: files(server) < 100, "connections are kept")
    assert "[!]webhook-connections" not in server.operation("/readyz?verbose")[1]


def test_unfinished_bodies_hold_no_more_than_the_budget(server):
    """60 requests with 6.9 MB of bodies that never end; the victim's review is answered meanwhile."""
    assert server.ask("POST", "/mutate", REVIEW)[0] == 200
    before = memory(server)
    size = 6_900_000
    with held(lambda: tls(server, ATTACKER), 60) as attackers:
        for each in attackers:
            with contextlib.suppress(OSError):  # it had to give way
                each.sendall(HEAD % (size + 1) + b" " * size)
        assert server.metric("vmguard_request_body_bytes") <= MOST
        assert memory(server) - before < 2 * MOST / 2**20
        assert [server.ask("POST", "/mutate", REVIEW)[0] for _ in range(5)] == [200] * 5
        assert server.metric('vmguard_connections_ended_total{listener="webhook",reason="body-budget"}') >= 50
        lines = [line for line in server.lines() if line["level"] == "warning"]
        assert 1 <= len(lines) <= 30, "there is a bounded number of log lines"
    within(lambda: server.metric("vmguard_request_body_bytes") == 0, "bytes are kept")


def test_without_file_descriptors_it_waits_says_so_and_serves_again(server):
    """A process at its limit of open files accepts nothing for a while, and goes on when there are files again."""
    assert server.ask("POST", "/mutate", REVIEW)[0] == 200
    limit = files(server) + 10
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, hard))
    with held(lambda: plain(server, ATTACKER), 50):
        within(lambda: any("no connection can be accepted" in line["message"] for line in _logged(server)), "no line")
    within(lambda: files(server) < limit - 2, "connections are kept")
    assert server.ask("POST", "/mutate", REVIEW)[0] == 200
    assert len([line for line in _logged(server) if "no connection can be accepted" in line["message"]]) <= 30


def test_garbage_fills_no_log(server):
    """500 connections that send no HTTP leave some lines, the last with the number of those left out."""
    for _ in range(500):
        connection = tls(server, ATTACKER)
        connection.sendall(b"garbage\r\n\r\n")
        connection.close()
    within(
        lambda: server.metric('vmguard_connections_ended_total{listener="webhook",reason="invalid"}') == 500,
        "not all were counted",
    )
    assert len([line for line in server.lines() if line["level"] == "warning"]) <= 60


def _reviewed(connection):
    connection.request("POST", "/mutate", json.dumps(REVIEW), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _logged(server):
    return [json.loads(line) for line in server.log.read_text().splitlines()]
