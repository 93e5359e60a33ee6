"""The bounds of one connection, on a server in this process whose bounds are small enough to be met."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import uvicorn

from tests.support.patience import PATIENCE
from tests.support.wire import closed, opened
from webhook.server import open_connections
from webhook.server.body_budget import BodyBudget
from webhook.server.connection import Connection, ListenerState
from webhook.server.http import Disconnected, HTTPError, HTTPResponse, error_body, read_body, respond
from webhook.server.open_connections import OpenConnections

MIB = 1024 * 1024


MOST_CONNECTIONS = 3


class _Small(Connection):
    seconds = 0.3


async def _echo(scope, receive, send):
    """Answers a body with its length, and `/large` with more than any buffer holds."""
    if scope["path"] == "/large":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    if scope["path"] == "/unread":
        await respond(send, HTTPResponse(404, b"{}"))
        return
    try:
        length = len(await read_body(dict(scope["headers"]), receive, 300_000))
        await respond(send, HTTPResponse(200, str(length).encode()))
    except HTTPError as error:
        await respond(send, HTTPResponse(error.code, error_body(error.code, str(error)), close=True))
    except Disconnected:
        return


class _Server(uvicorn.Server):
    def __init__(self, protocol, keep_alive):
        super().__init__(
            uvicorn.Config(
                _echo, http=protocol, ws="none", lifespan="off", log_config=None, timeout_keep_alive=keep_alive
            )
        )
        self.config.load()
        self.server_state = ListenerState(OpenConnections(MOST_CONNECTIONS), BodyBudget(2 * MIB, MIB // 2))

    @asynccontextmanager
    async def listening(self):
        def connection():
            return self.config.http_protocol_class(self.config, self.server_state, {})

        listener = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
        async with listener:
            yield listener.sockets[0].getsockname()[1]
        for open_one in list(self.server_state.connections):
            open_one.transport.abort()


def _run(ask, protocol=_Small, keep_alive=60):
    """The result of `ask(connect, server)`; `connect()` opens a connection to a server of that protocol."""

    async def inside():
        server = _Server(protocol, keep_alive)
        opened = []
        async with server.listening() as port:

            async def connect():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                opened.append(writer)
                return reader, writer

            try:
                async with asyncio.timeout(PATIENCE):
                    return await ask(connect, server)
            finally:
                for writer in opened:
                    writer.transport.abort()
                await asyncio.sleep(0)

    return asyncio.run(inside())


async def _until(true):
    while not true():  # noqa: ASYNC110 - uvicorn tells by its attributes
        await asyncio.sleep(0.01)


async def _rest(reader):
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def _answer_to_a_writer(ask):
    """The result of `_run`; it repeats while a reset loses the answer, when the client wrote after the server
    closed."""
    answers = filter(None, (_run(ask) for _ in range(20)))
    return next(answers, b"")


def _status(answer):
    """The status of an error and its reason, which must be JSON."""
    head, _, body = answer.partition(b"\r\n\r\n")
    said = json.loads(body)
    assert b"connection: close" in head
    assert said["kind"] == "Status"
    assert head.startswith(b"HTTP/1.1 %d " % said["code"])
    return said["code"], said["message"]


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "half",
    [
        b"P",
        b"\r\n",
        HEAD,
        HEAD + b"X: y",
        HEAD + b"Content-Length: 10\r\n\r\n",
        HEAD + b"Content-Length: 10\r\n\r\n123",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n12\r\n0\r\nX: y",
    ],
)
def test_half_a_request_is_a_408_and_the_connection_ends(half):
    async def ask(connect, server):
        reader, writer = await connect()
        writer.write(half)
        return await _rest(reader)

    code, message = _status(_run(ask))
    assert code == 408
    assert "took more than" in message


@pytest.mark.parametrize("start", [HEAD, HEAD + b"Content-Length: 1000\r\n\r\n", b""])
def test_a_request_that_trickles_is_a_408_all_the_same(start):
    async def ask(connect, server):
        reader, writer = await connect()
        writer.write(start)
        answer = asyncio.ensure_future(_rest(reader))
        while not answer.done():
            writer.write(b"\r\n" if not start else b"a")
            await asyncio.sleep(0.05)
        return await answer

    assert _status(_answer_to_a_writer(ask))[0] == 408


def test_half_a_request_after_a_whole_one_is_a_408():
    async def ask(connect, server):
        reader, writer = await connect()
        writer.write(HEAD + b"Content-Length: 2\r\n\r\nab")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(1) == b"2"
        writer.write(HEAD)
        return await _rest(reader)

    assert _status(_run(ask))[0] == 408


def test_a_body_that_nobody_waits_for_is_bounded_too():
    """Its answer is out, so there is nothing to say any more but the end."""

    async def ask(connect, server):
        reader, writer = await connect()
        writer.write(b"POST /unread HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n{}")).startswith(b"HTTP/1.1 404")
        answer = asyncio.ensure_future(_rest(reader))
        while not answer.done():
            writer.write(b"1\r\na\r\n")
            await asyncio.sleep(0.05)
        return await answer

    assert _status(_answer_to_a_writer(ask))[0] == 408


def test_a_client_that_takes_no_answer_is_cut_off():
    async def ask(connect, server):
        _, writer = await connect()
        writer.transport.pause_reading()
        writer.write(b"GET /large HTTP/1.1\r\n\r\n")
        await _until(lambda: server.server_state.tasks)
        await _until(lambda: not server.server_state.connections and not server.server_state.tasks)

    _run(ask)


def test_an_unused_connection_stays_as_long_as_an_idle_one_and_ends_then():
    async def ask(connect, server):
        reader, _ = await connect()
        return await _rest(reader)

    assert _run(ask, keep_alive=0.5) == b""


@pytest.mark.slow
def test_an_unused_connection_outlives_the_time_for_a_request():
    """Go's client keeps an unused connection that lost a race; to close it early would cost a pod its admission."""

    async def ask(connect, server):
        reader, writer = await connect()
        await asyncio.sleep(3 * _Small.seconds)
        writer.write(HEAD + b"Content-Length: 1\r\n\r\na")
        return await reader.readuntil(b"\r\n\r\n")

    assert _run(ask).startswith(b"HTTP/1.1 200")


def test_requests_one_after_another_may_take_longer_together_than_one_may():
    async def ask(connect, server):
        reader, writer = await connect()
        for _ in range(10):
            writer.write(HEAD + b"Content-Length: 1\r\n\r\na")
            assert (await reader.readuntil(b"\r\n\r\n1")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(_Small.seconds / 5)
        return True

    assert _run(ask)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", b"A"),
        (b"GET /", b"a"),
        (b"GET / HTTP/1.1\r\nX: ", b"y"),
        (b"GET / HTTP/1.1\r\n", b"Y"),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", b"X: y\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    ],
    ids=["method", "path", "value", "name", "headers", "chunks", "trailers", "chunk extension"],
)
def test_what_stands_beside_a_body_ends_at_its_bound(start, more):
    async def ask(connect, server):
        reader, writer = await connect()
        writer.write(start)
        answer, sent = asyncio.ensure_future(_rest(reader)), 0
        while not answer.done():
            writer.write(more * 2000)
            sent += 2000 * len(more)
            await asyncio.sleep(0.01)
        return sent, await answer

    class Patient(Connection):
        seconds = PATIENCE * 2

    sent, answer = _run(ask, Patient)
    assert sent < 2 * Connection.most_beside_body
    assert _status(answer)[0] in {400, 431}


def test_a_body_in_chunks_of_a_usual_size_is_not_counted():
    async def ask(connect, server):
        reader, writer = await connect()
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(64):
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        writer.write(b"0\r\n\r\n")
        return await reader.readuntil(b"\r\n\r\n262144")

    assert _run(ask, Connection).startswith(b"HTTP/1.1 200")


async def _ask_one(reader, writer):
    writer.write(HEAD + b"Content-Length: 1\r\n\r\na")
    assert (await reader.readuntil(b"\r\n\r\n1")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("start", [b"", HEAD], ids=["idle", "half a request"])
def test_for_one_connection_too_many_the_oldest_unused_one_is_closed(start):
    """A connection that has carried a request stays, and so does one whose request is whole and not answered yet."""

    async def ask(connect, server):
        used, answering = await connect(), await connect()
        await _ask_one(*used)
        answering[1].transport.pause_reading()
        answering[1].write(b"GET /large HTTP/1.1\r\n\r\n")
        await _until(lambda: server.server_state.tasks)
        for _ in range(2 * MOST_CONNECTIONS):
            unused, writer = await connect()
            writer.write(start)
            await _until(lambda: len(server.server_state.open) == MOST_CONNECTIONS)
            last = await connect()
            assert await _rest(unused) == b""
            await _until(lambda: len(server.server_state.connections) <= MOST_CONNECTIONS)
            await _ask_one(*used)
            last[1].transport.abort()
            await _until(lambda: len(server.server_state.open) == MOST_CONNECTIONS - 1)
        return server.server_state.open

    opened = _run(ask, Connection)
    assert (opened.closed, opened.refused) == (2 * MOST_CONNECTIONS, 0)


def test_a_connection_is_refused_where_all_others_are_answering():
    async def ask(connect, server):
        for number in range(MOST_CONNECTIONS):
            _, writer = await connect()
            writer.transport.pause_reading()
            writer.write(b"GET /large HTTP/1.1\r\n\r\n")
            await _until(lambda number=number: len(server.server_state.tasks) == number + 1)
        refused, _ = await connect()
        return await _rest(refused), server.server_state.open.refused

    assert _run(ask, Connection) == (b"", 1)


def test_where_all_others_answer_the_longest_wait_ends_for_a_new_connection(monkeypatch):
    """Its work ends too, so that a client cannot leave more behind than it has connections."""
    monkeypatch.setattr(open_connections, "LONG_WAIT", 0.0)
    begun, ended = [], []

    async def wait(scope, receive, send):
        begun.append(scope["path"])
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(scope["path"])

    async def ask(connect, server):
        server.config.loaded_app = wait
        readers = []
        for number in range(MOST_CONNECTIONS):
            reader, writer = await connect()
            writer.write(b"GET /%d HTTP/1.1\r\n\r\n" % number)
            await _until(lambda number=number: len(begun) == number + 1)
            readers.append(reader)
        await connect()
        assert await _rest(readers[0]) == b""
        await _until(lambda: ended)
        return list(ended), server.server_state.open

    (gone, opened) = _run(ask, Connection)
    assert gone == ["/0"]
    assert (opened.closed, opened.refused) == (1, 0)


def test_a_refused_request_that_lingers_counts_as_idle():
    """Over TLS a closed connection stays until its client closes too; meanwhile it takes no place from others."""

    async def never(scope, receive, send):
        await asyncio.Event().wait()

    async def run():
        wire = opened(Connection, never)
        wire.connection.data_received(HEAD + b"Content-Length: 0\r\n\r\n")
        before = wire.connection.answering
        wire.transport.close()
        after = wire.connection.answering
        wire.connection.make_way()
        await closed(wire)
        return before, after

    assert asyncio.run(run()) == (True, False)


def _unfinished(size):
    return HEAD + b"Content-Length: 300000\r\n\r\n" + b"x" * size


def test_unfinished_bodies_hold_no_more_than_the_budget():
    """The oldest ones end with a 503; vmguard still answers a new request, and ended connections hold no memory."""

    async def ask(connect, server):
        bodies = server.server_state.bodies
        server.server_state.open.most = 100
        attackers = []
        for _ in range(40):
            reader, writer = await connect()
            before = (bodies.held, bodies.refused)
            writer.write(_unfinished(200_000))
            attackers.append(reader)
            await _until(lambda before=before: (bodies.held, bodies.refused) != before)
        held, refused = bodies.held, bodies.refused
        await _ask_one(*(await connect()))
        ended = [await _rest(reader) for reader in attackers[:refused]]
        return held, refused, ended, len(server.server_state.tasks)

    class Patient(Connection):
        seconds = PATIENCE * 2

    held, refused, ended, tasks = _run(ask, Patient)
    assert held <= 2 * MIB - MIB // 2
    assert refused >= 30
    assert {_status(answer)[0] for answer in ended} == {503}
    assert tasks <= 40 - refused + 1, "the tasks of ended requests have ended"


def test_a_body_counts_until_its_request_is_answered_or_its_client_is_gone():
    async def ask(connect, server):
        bodies = server.server_state.bodies
        reader, writer = await connect()
        for _ in range(3):
            writer.write(_unfinished(250_000))
            await _until(lambda: bodies.held == 250_000)
            writer.write(b"x" * 50_000)
            assert (await reader.readuntil(b"\r\n\r\n300000")).startswith(b"HTTP/1.1 200")
            assert bodies.held == 0
        writer.write(_unfinished(250_000))
        await _until(lambda: bodies.held == 250_000)
        writer.transport.abort()
        await _until(lambda: bodies.held == 0)

    _run(ask, Connection)


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"x"])
@pytest.mark.parametrize("body", [b"", b"abc"])
def test_an_upgrade_is_not_taken_and_its_connection_ends_with_the_answer(protocol, body):
    async def ask(connect, server):
        reader, writer = await connect()
        writer.write(HEAD + b"Connection: Upgrade\r\nUpgrade: %s\r\nContent-Length: %d\r\n\r\n" % (protocol, len(body)))
        writer.write(body)
        return await _rest(reader)

    answer = _run(ask)
    assert answer.startswith(b"HTTP/1.1 ")
    assert not answer.startswith((b"HTTP/1.1 101", b"HTTP/1.1 5"))
