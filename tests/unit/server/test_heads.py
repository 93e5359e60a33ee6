"""A request that is answered at once comes out as the same one that goes through uvicorn, byte for byte."""

import asyncio
import itertools
from contextlib import suppress

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from webhook.server.connection import Connection
from webhook.server.heads import LONGEST_BODY
from webhook.server.http import Disconnected, HTTPResponse, headers_of, read_body, respond

HEAD = b"POST /p HTTP/1.1\r\nHost: x\r\n"
WHOLE = HEAD + b"Content-Length: 3\r\n\r\nabc"
OTHER = HEAD + b"Content-Length: 5\r\nAccept: */*\r\n\r\nabcde"
WAITS = HEAD + b"Content-Length: 4\r\n\r\nwait"
EARLY = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
"""Is answered before its body is there."""

SLOW = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
EMPTY = HEAD + b"Content-Length: 0\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
ODD = [
    HEAD + b"\r\n",
    HEAD + b"content-length: 3\r\n\r\nabc",
    HEAD + b"Content-Length: 003\r\n\r\nabc",
    HEAD + b"Content-Length: +3\r\n\r\nabc",
    HEAD + b"Content-Length: 3 \r\n\r\nabc",
    HEAD + b"Content-Length:\r\n\r\n",
    HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 99999999999999999999\r\n\r\nabc",
    CHUNKED,
    HEAD + b"X: y\r\n Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc",
    HEAD + b"Connection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
    HEAD.replace(b"\r\n", b"\n") + b"\nContent-Length: 3\n\nabc",
    b"\r\n" + WHOLE,
    WHOLE + b"\r\n",
    WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    WHOLE.replace(b"POST", b"GET"),
    WHOLE.replace(b"/p", b"/slow"),
    b"nothing\r\n\r\n",
    EARLY + b"12345",
    SLOW,
]


class _Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data):
        if not self.closed:
            self.written += data

    def close(self):
        self.closed = True

    abort = close

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        pass

    resume_reading = pause_reading


class _App:
    """Answers with the body's size; `bodies` are those of the slow way and of the fast one."""

    def __init__(self, *, fast):
        self.fast = fast
        self.bodies = [], []

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/early":
            await respond(send, HTTPResponse(200, b'"early"'))
            return
        if scope["path"] == "/slow":
            await _some_turns(3)
        with suppress(Disconnected):
            await self._serve(await read_body(headers_of(scope), receive, 10 * LONGEST_BODY), send)

    async def _serve(self, body, send):
        self.bodies[0].append(body)
        await respond(send, HTTPResponse(200, b'{"length":%d}' % len(body)))

    def at_once(self, scope):
        return self._answer if self.fast and scope["path"] == "/p" and scope["method"] == "POST" else None

    def _answer(self, body):
        if body == b"wait":
            return None
        self.bodies[1].append(body)
        return b'{"length":%d}' % len(body)


async def _some_turns(number=8):
    for _ in range(number):
        await asyncio.sleep(0)


def _served(parts, *, fast=True, paused=False, ended=False):
    """What a client gets that sends these parts: all bytes, and whether the connection was closed; and the bodies."""
    app = _App(fast=fast)

    async def run():
        config = uvicorn.Config(app, lifespan="off", log_config=None, proxy_headers=False)
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        transport, connection = _Transport(), Connection(config, state, {})
        connection.connection_made(transport)
        for number, part in enumerate(parts, 1):
            if paused and number == len(parts):
                connection.pause_writing()
            if not transport.closed:
                connection.data_received(part)
            await _some_turns()
        connection.resume_writing()
        if ended:
            connection.shutdown()
        await _some_turns()
        closed = transport.closed
        connection.connection_lost(None)
        while state.tasks:  # noqa: ASYNC110 - uvicorn tells by its attributes
            await asyncio.sleep(0)
        return transport.written, closed

    return asyncio.run(run()), app.bodies


@pytest.mark.parametrize(
    ("parts", "slow", "fast"),
    [
        ([WHOLE], 1, 0),
        ([WHOLE, WHOLE, WHOLE], 1, 2),
        ([WHOLE, EMPTY, WHOLE], 1, 2),
        ([WHOLE, OTHER, WHOLE, OTHER], 2, 2),
        ([WHOLE, WHOLE[:-1], b"c", WHOLE], 1, 2),
        ([WHOLE, WHOLE[:-3], b"a", b"b", b"c", WHOLE], 1, 2),
        ([WHOLE, WHOLE[:20], WHOLE[20:], WHOLE], 2, 1),
        ([WHOLE, WHOLE + WHOLE, WHOLE], 3, 1),
        ([WHOLE, WHOLE[:-1], b"c" + WHOLE, WHOLE], 3, 1),
        ([WHOLE + OTHER, WHOLE, OTHER], 4, 0),
        ([WHOLE, WAITS, WHOLE], 2, 1),
        ([WHOLE, WAITS[:-2], b"it", WHOLE], 2, 1),
        ([WHOLE, HEAD + b"Content-Length: %d\r\n\r\n%b" % (LONGEST_BODY, LONGEST_BODY * b"x")], 1, 1),
        ([WHOLE, HEAD + b"Content-Length: %d\r\n\r\n%b" % (LONGEST_BODY + 1, LONGEST_BODY * b"x"), b"y"], 2, 0),
        ([CHUNKED, CHUNKED, CHUNKED], 3, 0),
    ],
)
def test_a_head_is_known_the_second_time(parts, slow, fast):
    seen, bodies = _served(parts)
    through, all_bodies = _served(parts, fast=False)
    assert seen == through
    assert list(map(len, bodies)) == [slow, fast]
    assert sorted(bodies[0] + bodies[1]) == sorted(all_bodies[0])


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("after", [WHOLE, OTHER])
def test_an_odd_request_is_the_parsers(odd, after):
    for parts in ([WHOLE, odd, after], [odd, odd, WHOLE], [odd, after, odd, after]):
        assert _served(parts)[0] == _served(parts, fast=False)[0]


@given(
    requests=st.lists(st.sampled_from([WHOLE, WHOLE, OTHER, WAITS, EMPTY, *ODD]), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    whole=st.booleans(),
)
def test_however_it_is_cut(requests, cuts, whole):
    data = b"".join(requests)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [data[start:end] for start, end in itertools.pairwise(places)]
    if whole:
        parts = [*requests, *parts]
    seen, bodies = _served(parts)
    through, all_bodies = _served(parts, fast=False)
    assert seen == through
    assert sorted(bodies[0] + bodies[1]) == sorted(all_bodies[0])


@pytest.mark.parametrize("after", [HEAD + b"Content-Length: %d\r\n\r\n" % len(WHOLE), SLOW, HEAD])
def test_what_begins_behind_a_late_body_is_not_taken_for_a_beginning(after):
    parts = [WHOLE, EARLY, b"12345" + after, WHOLE]
    seen, bodies = _served(parts)
    through, all_bodies = _served(parts, fast=False)
    assert seen == through
    assert bodies[0] + bodies[1] == all_bodies[0]


def test_a_client_that_reads_nothing_is_waited_for():
    (written, _), bodies = _served([WHOLE, WHOLE], paused=True)
    assert list(map(len, bodies)) == [2, 0]
    assert written.count(b'{"length":3}') == 2


def test_what_is_held_back_is_heard_of_when_the_connection_or_the_server_ends():
    for ended in (False, True):
        parts = [WHOLE, WHOLE[:-1]]
        assert _served(parts, ended=ended)[0] == _served(parts, fast=False, ended=ended)[0]
    (_, closed), _ = _served(parts, ended=True)
    assert not closed
    (_, closed), _ = _served([WHOLE, WHOLE], ended=True)
    assert closed


def test_a_connection_knows_few_heads():
    kinds = [HEAD + b"N: %d\r\nContent-Length: 3\r\n\r\nabc" % n for n in range(12)]
    _, bodies = _served([*kinds, *kinds])
    assert list(map(len, bodies)) == [16, 8]


def test_a_body_that_is_too_long_takes_no_place():
    long = HEAD + b"Content-Length: %d\r\n\r\n%b" % (LONGEST_BODY + 1, bytes(LONGEST_BODY + 1))
    _, bodies = _served([*[long] * 9, WHOLE, WHOLE])
    assert list(map(len, bodies)) == [10, 1]
