"""A connection never understands a request otherwise than uvicorn does: it may refuse, or close, and no more."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.support.examples import examples
from tests.support.wire import Echo, closed, opened, sent, turns
from webhook.server.connection import Connection
from webhook.server.http import respond

HEAD = b"POST /now HTTP/1.1\r\nHost: x\r\n"
WHOLE = HEAD + b"Content-Length: 3\r\n\r\nabc"
LATER = WHOLE.replace(b"/now", b"/later")
ASGI = WHOLE.replace(b"/now", b"/asgi")
GET = b"GET /now?a=b&c HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
EARLY = b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
"""Is answered before its body is there."""


class _App(Echo):
    """Answers a path's requests now, later, or as ASGI only; one at `/early` before it has read the body."""

    def begin(self, scope, body):
        if scope["path"] == "/asgi":
            return None
        self.note(scope, body)
        return self._later(body) if scope["path"] == "/later" else self.response(body)

    async def _later(self, body):
        await turns(3)
        return self.response(body)

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/early":
            self.note(scope, b"")
            await respond(send, self.response(b""))
            return
        if scope["path"] == "/later":
            await turns(3)
        await super().__call__(scope, receive, send)


def _both(parts):
    """What vmguard's connection and uvicorn's have understood, and the connections."""
    ours, theirs = _App(), _App()
    mine, plain = sent(Connection, ours, parts), sent(HttpToolsProtocol, theirs, parts)
    assert ours.seen == theirs.seen[: len(ours.seen)]
    return ours.seen, theirs.seen, mine, plain


ALIKE = {
    "a length": WHOLE,
    "answered later": LATER,
    "ASGI only": ASGI,
    "no body": GET,
    "length 0": HEAD + b"Content-Length: 0\r\n\r\n",
    "no length": HEAD + b"\r\n",
    "lower case": HEAD + b"content-length: 3\r\n\r\nabc",
    "leading zeros": HEAD + b"Content-Length: 003\r\n\r\nabc",
    "space after the length": HEAD + b"Content-Length: 3 \r\n\r\nabc",
    "chunked": CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    "chunks and trailers": CHUNKED + b"1;x=y\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\n",
    "answered early": EARLY + b"3\r\nabc\r\n0\r\n\r\n",
    "a body at the bound": HEAD + b"Content-Length: %d\r\n\r\n" % HIGH_WATER_LIMIT + b"x" * HIGH_WATER_LIMIT,
    "a body over the bound": HEAD
    + b"Content-Length: %d\r\n\r\n" % (HIGH_WATER_LIMIT + 1)
    + b"x" * (HIGH_WATER_LIMIT + 1),
    "close": HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc",
    "keep-alive": HEAD + b"Connection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.0": WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.0, keep-alive": HEAD.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    "Expect": HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "other Expect": HEAD + b"Expect: 200-maybe\r\nContent-Length: 3\r\n\r\nabc",
    "absolute form": WHOLE.replace(b" /now", b" http://x/now?q"),
    "escaped path": WHOLE.replace(b"/now", b"/n%6fw%20%ff?%41=%zz#f"),
    "line breaks before": b"\r\n\r\n" + WHOLE,
    "line breaks behind": WHOLE + b"\r\n\r\n",
    "two of one header": HEAD + b"X: a\r\nX: b\r\nContent-Length: 3\r\n\r\nabc",
    "an empty header": HEAD + b"X:\r\nContent-Length: 3\r\n\r\nabc",
}
"""Requests that vmguard takes as uvicorn does."""

ODD = {
    "upgrade, GET": GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    "upgrade, POST": HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/9.9": WHOLE.replace(b"1.1", b"9.9"),
    "a sign": HEAD + b"Content-Length: +3\r\n\r\nabc",
    "negative": HEAD + b"Content-Length: -3\r\n\r\nabc",
    "hexadecimal": HEAD + b"Content-Length: 0x3\r\n\r\nabc",
    "a list of lengths": HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    "no digits": HEAD + b"Content-Length:\r\n\r\nabc",
    "two equal lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "a long length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "chunked and a length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "a length and chunked": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "gzip": HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "identity and a length": HEAD + b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
    "a folded length": HEAD + b"X: a\r\n Content-Length: 9\r\nContent-Length: 3\r\n\r\nabc",
    "a folded header": HEAD + b"X: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
    "a space before the colon": HEAD + b"Content-Length : 3\r\n\r\nabc",
    "bare line feeds": WHOLE.replace(b"\r\n", b"\n"),
    "one bare line feed": HEAD + b"X: a\nContent-Length: 3\r\n\r\nabc",
    "a bare carriage return": HEAD + b"X: a\rContent-Length: 9\r\nContent-Length: 3\r\n\r\nabc",
    "NUL in a header": HEAD + b"X: a\0\r\nContent-Length: 3\r\n\r\nabc",
    "NUL in the path": WHOLE.replace(b"/now", b"/n\0w"),
    "bytes in the path": WHOLE.replace(b"/now", b"/n\xffw"),
    "no slash": WHOLE.replace(b"/now", b"now"),
    "a bad chunk size": CHUNKED + b"g\r\nabc\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "a huge chunk": CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "CONNECT": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\nabc",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": WHOLE.replace(b"POST", b"BREW"),
    "nothing": b"nothing\r\n\r\n",
    "a second line": b"POST /now HTTP/1.1 \r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "bytes after close": HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc" + WHOLE,
    "bytes after HTTP/1.0": WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0") + WHOLE,
    "bytes after an upgrade": GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n") + WHOLE,
    "sent ahead": WHOLE + WHOLE,
    "sent ahead of a later answer": LATER + WHOLE,
    "a half request ahead": WHOLE + HEAD,
    "rubbish ahead": WHOLE + b"\0\1\2",
    "sent ahead, of an early answer": EARLY + b"3\r\nabc\r\n0\r\n\r\n" + WHOLE,
}
"""Requests that vmguard may refuse, or after whose answer it may close."""


@pytest.mark.parametrize("data", ALIKE.values(), ids=ALIKE)
def test_a_usual_request_is_understood_and_answered_byte_for_byte_as_by_uvicorn(data):
    mine_seen, plain_seen, mine, plain = _both([data])
    assert mine_seen == plain_seen
    assert len(mine_seen) == 1
    assert mine.transport.written == plain.transport.written
    assert mine.transport.closed >= plain.transport.closed


@pytest.mark.slow
@pytest.mark.parametrize("data", [*ALIKE.values(), *ODD.values()], ids=[*ALIKE, *ODD])
def test_a_request_cut_at_any_byte_is_never_another_one(data):
    if len(data) > HIGH_WATER_LIMIT:
        data = data[:300]
    for cut in range(len(data) + 1):
        _both([data[:cut], data[cut:], WHOLE])


@pytest.mark.parametrize("data", [*ALIKE.values(), *ODD.values()], ids=[*ALIKE, *ODD])
@pytest.mark.parametrize("before", [[], [WHOLE], [LATER, GET]], ids=["first", "second", "third"])
def test_a_request_that_comes_byte_by_byte_is_never_another_one(data, before):
    _both([*before, *_bytes(data)])


def _bytes(data):
    return [data[at : at + 1] for at in range(len(data))] if len(data) < HIGH_WATER_LIMIT else [data]


PIECES = st.sampled_from([WHOLE, WHOLE, LATER, ASGI, GET, *ALIKE.values(), *ODD.values()]).filter(
    lambda data: len(data) < HIGH_WATER_LIMIT
)


@given(
    requests=st.lists(PIECES, min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 600), max_size=8),
    joined=st.booleans(),
)
@settings(max_examples=examples(400), deadline=None)
def test_any_stream_is_understood_as_by_uvicorn_as_far_as_it_is_read(requests, cuts, joined):
    data = b"".join(requests)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    _both([data[start:end] for start, end in itertools.pairwise(places)] if joined else requests)


@given(
    base=st.sampled_from([WHOLE, LATER, GET, *ODD.values()]),
    changes=st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), min_size=1, max_size=3),
    cut=st.integers(0, 200),
)
@settings(max_examples=examples(400), deadline=None)
def test_any_change_of_a_request_is_understood_as_by_uvicorn_as_far_as_it_is_read(base, changes, cut):
    data = bytearray(base)
    for at, put in changes:
        data[at % len(data) : at % len(data) + 1] = put
    _both([bytes(data[:cut]), bytes(data[cut:]), WHOLE])


def test_the_task_of_a_small_post_starts_when_its_body_is_whole():
    async def run(part):
        wire = opened(Connection, _App())
        wire.connection.data_received(part)
        started = len(wire.state.tasks)
        await closed(wire)
        return started

    large = HEAD + b"Content-Length: %d\r\n\r\n" % (HIGH_WATER_LIMIT + 1)
    expecting = HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    started = {
        part: asyncio.run(run(part)) for part in (WHOLE[:-1], WHOLE, LATER, ASGI, GET, large, expecting, CHUNKED)
    }
    assert list(started.values()) == [0, 0, 1, 1, 1, 1, 1, 1]


def test_a_small_post_that_does_not_become_whole_reaches_the_application_as_disconnected():
    heard = []

    class App(_App):
        async def __call__(self, scope, receive, send):
            heard.append((await receive())["type"])

    sent(Connection, App(), [WHOLE[:-1]])
    assert heard == ["http.disconnect"]


def test_a_client_that_takes_no_answers_gets_the_next_when_it_does():
    async def run():
        app = _App()
        wire = opened(Connection, app)
        wire.connection.pause_writing()
        wire.connection.data_received(WHOLE)
        await turns()
        before = wire.transport.written
        wire.connection.resume_writing()
        await turns()
        await closed(wire)
        return before, wire.statuses, len(app.seen)

    assert asyncio.run(run()) == (b"", [200], 1)


@pytest.mark.parametrize("first", [WHOLE, LATER, ASGI, GET])
def test_a_request_sent_ahead_ends_the_connection_with_the_answer_to_the_first(first):
    """In the same read, and in a later one before the answer."""
    one = sent(Connection, _App(), [first + WHOLE])
    assert (one.statuses, one.transport.closed) == ([200], True)

    async def run():
        wire = opened(Connection, _App())
        wire.connection.data_received(LATER)
        wire.connection.data_received(WHOLE)
        assert not wire.transport.reading
        await turns()
        return wire.statuses, wire.transport.closed, b"connection: close" in wire.transport.written

    assert asyncio.run(run()) == ([200], True, True)


AHEAD = 2000
"""Requests in one read of some 90 KB."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "queued"), [(Connection, 0), (HttpToolsProtocol, 10 * AHEAD - 1)], ids=["vmguard", "uvicorn"]
)
def test_a_client_that_sends_ahead_without_end_has_one_request_in_memory(protocol, queued):
    """uvicorn queues them all, each a cycle with its scope, for as long as the first is not answered."""

    async def run():
        answering = asyncio.Event()

        class Waiting(_App):
            async def _later(self, body):
                await answering.wait()
                return self.response(body)

            async def __call__(self, scope, receive, send):
                await answering.wait()

        wire = opened(protocol, Waiting())
        for _ in range(10):
            wire.connection.data_received(LATER * AHEAD)
        found = len(wire.connection.pipeline)
        answering.set()
        await closed(wire)
        return found

    assert asyncio.run(run()) == queued
