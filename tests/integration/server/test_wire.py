"""What a client may do to the socket of a real server: odd requests, floods of connections, no way to keep it up."""

import contextlib
import json
import os
import socket
import ssl
import struct
import time

import pytest

from tests.support.patience import PATIENCE
from tests.support.raw_connections import files, memory, plain, tls, within
from tests.support.sample_pods import vmsingle
from tests.support.server import serving
from webhook.server.open_connections import MOST


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("wire"), vmsingle()[1]) as running:
        yield running


def _reset(connection):
    """Close it as a crash does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _review():
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    request = {"uid": "u", "kind": kind, "namespace": "mon", "operation": "CREATE", "object": vmsingle()[0]}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


REVIEW = _review()
TYPE = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def _post(path=b"/mutate", extra=b"", version=b"1.1", method=b"POST", body=REVIEW, length=True):
    said = b"Content-Length: %d\r\n" % len(body) if length else b""
    return method + b" " + path + b" HTTP/" + version + b"\r\nHost: x\r\n" + TYPE + extra + said + b"\r\n" + body


def _get(path, extra=b"", method=b"GET"):
    return method + b" " + path + b" HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n"


def _upgrade(to):
    return b"Connection: Upgrade\r\nUpgrade: %s\r\n" % to


WHOLE_CHUNK = b"%x\r\n" % len(REVIEW) + REVIEW + b"\r\n0\r\n"
ODD = {
    "HTTP/1.0": (200, _post(version=b"1.0")),
    "HTTP/2.0": (200, _post(version=b"2.0")),
    "HTTP/9.9": (400, _post(version=b"9.9")),
    "Expect": (100, _post(extra=b"Expect: 100-continue\r\n")),
    "other Expect": (200, _post(extra=b"Expect: 200-maybe\r\n")),
    "length and chunked": (400, _post(extra=CHUNKED)),
    "gzip transfer": (400, _post(extra=b"Transfer-Encoding: gzip\r\n", length=False)),
    "two lengths": (400, _post(extra=b"Content-Length: 3\r\n")),
    "negative length": (400, _post(extra=b"Content-Length: -3\r\n", length=False)),
    "length of 23 digits": (400, _post(extra=b"Content-Length: " + b"9" * 23 + b"\r\n", length=False)),
    "length of 5,000 digits": (400, _post(extra=b"Content-Length: " + b"0" * 4999 + b"2\r\n", length=False)),
    "large length": (413, _post(extra=b"Content-Length: 9999999999\r\n", length=False)),
    "no chunk size": (400, _post(extra=CHUNKED, length=False, body=b"zz\r\n")),
    "negative chunk": (400, _post(extra=CHUNKED, length=False, body=b"-1\r\n")),
    "huge chunk": (400, _post(extra=CHUNKED, length=False, body=b"f" * 20 + b"\r\n")),
    "trailers": (200, _post(extra=CHUNKED, length=False, body=WHOLE_CHUNK + b"Content-Type: text/x\r\n\r\n")),
    "websocket": (405, _get(b"/mutate", _upgrade(b"websocket"))),
    "websocket, POST": (400, _post(extra=_upgrade(b"websocket"))),
    "h2c": (400, _post(extra=_upgrade(b"h2c"))),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "CONNECT": (400, _get(b"a:1", method=b"CONNECT")),
    "OPTIONS *": (404, _get(b"*", method=b"OPTIONS")),
    "no method": (400, _get(b"/mutate", method=b"BREW")),
    "TRACE": (405, _get(b"/mutate", method=b"TRACE")),
    "absolute": (200, _post(path=b"http://x/mutate")),
    "no slash": (400, _get(b"mutate")),
    "two slashes": (404, _post(path=b"//mutate")),
    "slash after": (404, _post(path=b"/mutate/")),
    "slash after dry-run": (404, _post(path=b"/dry-run/")),
    "escaped": (200, _post(path=b"/%6dutate")),
    "NUL": (400, _post(path=b"/mutate\0")),
    "escaped NUL": (404, _post(path=b"/mutate%00")),
    "escaped surrogate": (404, _post(path=b"/%ed%a0%80")),
    "half an escape": (404, _post(path=b"/%")),
    "file NUL": (404, _get(b"/docs/files/%00")),
    "file up": (404, _get(b"/docs/files/%2e%2e/%2e%2e/__init__.py")),
    "file absolute": (404, _get(b"/docs/files//etc/passwd")),
    "file of a long name": (404, _get(b"/docs/files/" + b"a" * 5000)),
    "Host [": (404, b"GET /nowhere HTTP/1.1\r\nHost: [\r\n\r\n"),
    "Host of bytes": (404, b"GET /nowhere HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n"),
    "no Host": (404, b"GET /nowhere HTTP/1.1\r\n\r\n"),
    "folded header": (400, _post(extra=b"X: a\r\n b\r\n")),
    "bare line feeds": (400, _post().replace(b"\r\n", b"\n")),
    "space before colon": (400, _post(extra=b"X : a\r\n")),
    "NUL in a header": (400, _post(extra=b"X: a\0b\r\n")),
    "2,000 headers": (200, _post(extra=b"".join(b"X-%d: y\r\n" % n for n in range(2000)))),
    "100,000 headers": (431, _post(extra=b"".join(b"X-%d: y\r\n" % n for n in range(100_000)))),
    "header of 1 MB": (431, _post(extra=b"X: " + b"y" * 1_000_000 + b"\r\n")),
    "path of 1 MB": (431, _post(path=b"/" + b"a" * 1_000_000)),
    "timeout of digits": (200, _post(path=b"/mutate?timeout=" + b"1" * 50_000)),
    "timeout of nothing": (200, _post(path=b"/mutate?timeout=%ff&timeout=-1&&&=;;")),
    "deep JSON": (400, _post(body=b'{"request":' * 100_000)),
    "garbage": (400, bytes(range(256)) * 10),
}


def _status(answers):
    """The status of the next answer; 0 when the end comes as a reset, which may overtake an answer not yet read."""
    try:
        line = answers.readline()
    except (ConnectionResetError, ssl.SSLError):
        return 0
    return int(line.split()[1]) if line else 0


def _whole(answers):
    """The status of the next answer, which is read to its end."""
    status, length = _status(answers), 0
    while (line := answers.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    answers.read(length)
    return status


@pytest.mark.parametrize("before", [0, 2], ids=["first", "after reviews"])
@pytest.mark.parametrize(("status", "data"), ODD.values(), ids=ODD)
def test_an_odd_request_gets_its_status_and_the_next_is_answered(server, status, data, before):
    connection = tls(server)
    with contextlib.closing(connection):
        answers = connection.makefile("rb")
        for _ in range(before):
            connection.sendall(_post())
            assert _whole(answers) == 200
        try:
            connection.sendall(data)
        except OSError:
            assert status == 431, "only a head without end may be cut off while it is sent"
        assert _status(answers) in ({status, 0} if status == 431 else {status})
    assert server.ask("GET", "/healthz")[0] == 200
    log = server.log.read_text()
    assert "Traceback" not in log
    assert '"level":"error"' not in log


@pytest.mark.parametrize("request_", [_post(), _get(b"/healthz"), _post(path=b"/dry-run")])
def test_requests_sent_ahead_end_the_connection_with_the_first_answer(server, request_):
    connection = tls(server)
    with contextlib.closing(connection):
        answers = connection.makefile("rb")
        connection.sendall(_post())
        assert _whole(answers) == 200
        connection.sendall(request_ * 2)
        assert _whole(answers) == 200
        assert _status(answers) == 0


@pytest.mark.parametrize("path", [b"/healthz", b"/nowhere"])
def test_a_client_that_sends_ahead_without_end_costs_no_memory(server, path):
    """uvicorn would queue each: 12 MB of requests took 630 MiB."""
    assert server.ask("GET", "/healthz")[0] == 200
    before, sent = memory(server), 0
    for _ in range(20):
        with contextlib.closing(tls(server)) as connection, contextlib.suppress(OSError):
            for _ in range(300):
                connection.sendall(_get(path) * 1000)
                sent += 1000
    assert sent >= 20 * 1000
    assert memory(server) <= before + 40


def test_a_client_that_goes_on_sending_is_cut_off(server):
    """TLS would read on, and throw away what it reads, for half a minute."""
    with contextlib.closing(tls(server)) as connection, pytest.raises(OSError):  # noqa: PT012 - at any of them
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            connection.sendall(_get(b"/healthz") * 1000)
        raise AssertionError("it may send for ever")


def test_a_connection_without_tls_is_closed_without_an_answer(server):
    for data in (b"GET /healthz HTTP/1.1\r\n\r\n", os.urandom(500), b"\x16\x03\x01\xff\xff" + b"a" * 70_000, b"\0"):
        with contextlib.closing(plain(server)) as connection, contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            assert not connection.recv(100).startswith(b"HTTP")
    assert server.ask("GET", "/healthz")[0] == 200


HALF = b"POST /mutate HTTP/1.1\r\nHost: x\r\n" + TYPE + b"Content-Length: 1000\r\n\r\n{"


def test_2000_connections_idle_half_sent_and_cut_off_leave_nothing(server):
    """Those over the bound are refused, the others are served; memory and file descriptors come back."""
    assert server.ask("POST", "/mutate", REVIEW)[0] == 200
    mib, open_files = memory(server), files(server)
    for end in (socket.socket.close, _reset):
        there = []
        for n in range(1000):
            connection = tls(server) if n % 2 else plain(server)
            with contextlib.suppress(OSError):
                connection.sendall(HALF if n % 4 == 1 else b"" if n % 4 else b"\x16\x03")
            there.append(connection)
        assert server.ask("POST", "/mutate", REVIEW)[0] == 200, "among a thousand that wait"
        for connection in there:
            end(connection)
        within(lambda: files(server) <= open_files + 2, "file descriptors are kept")
    within(lambda: memory(server) <= mib + 40, f"memory is kept: {mib} MiB before, {memory(server)} after")


def test_more_connections_than_are_allowed_do_no_harm_to_one_that_is_there(server):
    first = server.connect()
    there = []
    try:
        first.request("GET", "/healthz")
        assert first.getresponse().read() == b"ok"
        for _ in range(MOST + 20):
            with contextlib.suppress(OSError):  # a refused connection may be reset during the handshake
                there.append(tls(server))
        first.request("POST", "/mutate", REVIEW, {"Content-Type": "application/json"})
        assert first.getresponse().status == 200
        assert any("closed to make room" in line["message"] for line in server.lines())
    finally:
        for connection in there:
            connection.close()
        first.close()
    within(lambda: files(server) < 100, "connections are kept")
    assert server.ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    "half",
    [b"", b"\x16\x03\x01", b"P", b"POST /mutate HTTP/1.1\r\nX: ", HALF, HALF.replace(b"/mutate", b"/dry-run")],
    ids=["idle", "half a greeting", "half a method", "half a head", "half a review", "half a question"],
)
def test_no_client_keeps_the_server_from_ending(tmp_path, half):
    with serving(tmp_path, []) as server:
        there = [plain(server) if half.startswith(b"\x16") else tls(server) for _ in range(3)]
        for connection in there:
            connection.sendall(half)
        assert server.ask("GET", "/healthz")[0] == 200
        assert server.end() == 0
        assert [line["message"] for line in server.lines() if line["level"] != "info"] == []
        for connection in there:
            connection.close()
