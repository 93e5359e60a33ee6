"""A request that is taken and answered at once comes out as the same one answered by messages, byte for byte."""

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from webhook.server.connection import Connection
from webhook.server.exchange import exchange_of
from webhook.server.http import read_body, respond

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
WHOLE = HEAD + b"Content-Length: 3\r\n\r\nabc"
LIMIT = 1000


class _Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    abort = close

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        pass

    resume_reading = pause_reading


def _answers(parts, *, at_once, paused=False):
    """All that is written, whether the connection was closed, and which bodies and answers went at once."""
    ways = []

    async def app(scope, receive, send):
        exchange = exchange_of(receive) if at_once else None
        body = exchange.body(LIMIT) if exchange else None
        taken = body is not None
        if body is None:
            body = await read_body(dict(scope["headers"]), receive, 10 * LIMIT)
        answer = b'{"length":%d}' % len(body)
        given = bool(exchange and exchange.answer(answer))
        if not given:
            await respond(send, 200, answer)
        ways.append((taken, given))

    async def run():
        config = uvicorn.Config(app, lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        transport, connection = _Transport(), Connection(config, state, {})
        connection.connection_made(transport)
        if paused:
            connection.pause_writing()
        for part in parts:
            connection.data_received(part)
            for _ in range(5):
                await asyncio.sleep(0)
        connection.resume_writing()
        while state.tasks:  # noqa: ASYNC110 - uvicorn tells by its attributes
            await asyncio.sleep(0)
        connection.connection_lost(None)
        return transport.written, transport.closed

    return (*asyncio.run(run()), ways)


@pytest.mark.parametrize(
    ("parts", "ways"),
    [
        ([WHOLE], [(True, True)]),
        ([WHOLE, WHOLE], [(True, True)] * 2),
        ([WHOLE + WHOLE + WHOLE], [(True, True)] * 3),
        ([WHOLE[:-1], b"c"], [(False, True)]),
        ([WHOLE[:-1], b"c" + WHOLE], [(False, True), (True, True)]),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"0\r\n\r\n"], [(False, True)]),
        ([HEAD + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001], [(False, True)]),
        ([HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n"], [(True, False)]),
        ([WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0")], [(True, False)]),
        ([HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", b"abc"], [(False, True)]),
    ],
)
def test_it_comes_out_as_by_messages(parts, ways):
    written, closed, taken = _answers(parts, at_once=True)
    assert taken == ways
    assert (written, closed) == _answers(parts, at_once=False)[:2]
    assert written.count(b'{"length":') == len(ways)


def test_a_client_that_reads_nothing_is_waited_for():
    written, _, ways = _answers([WHOLE], at_once=True, paused=True)
    assert ways == [(True, False)]
    assert written.endswith(b'{"length":3}')
