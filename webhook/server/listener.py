"""One listening socket: it accepts connections within a limit, and counts them from their acceptance.

uvloop's own server has two problems. Its protocol learns of a connection only after the TLS handshake. And it closes
the listening socket for good when the process has no file descriptor left. So this module accepts the connections. It
counts the errors of clients, and logs some of them.
"""

import asyncio
import errno
import re
import socket
from collections.abc import Callable

from webhook.server.connection import Connection, ListenerState
from webhook.server.serving_certificate import ServingCertificate
from webhook.text import one_line

HANDSHAKE = 10.0
"""Seconds for a TLS handshake; a client in the same cluster takes some milliseconds."""

_AT_ONCE = 100
"""Most connections that are accepted before the event loop does something else."""

_WITHOUT_FILES = 1.0
"""Seconds until connections are accepted again after a lack of file descriptors or memory."""

_NOT_TRUSTED = re.compile(
    r"ALERT_(BAD_CERTIFICATE|CERTIFICATE_(EXPIRED|UNKNOWN|REVOKED)|UNKNOWN_CA|UNSUPPORTED_CERTIFICATE)"
)
"""Parts of an OpenSSL error when the client has refused the certificate. Clients of Go send the first of these."""

_CLIENT_CERTIFICATE = re.compile(r"PEER_DID_NOT_RETURN_A_CERTIFICATE|CERTIFICATE_VERIFY_FAILED")
"""Parts of an OpenSSL error when the client has no certificate that a CA of VMGUARD_CLIENT_CA_FILE has signed."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Accepts the connections of one socket and makes a protocol for each. It has the methods that uvicorn calls.

    A new connection gets the current `certificate`; None means plain HTTP.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], Connection],
        state: ListenerState,
        certificate: ServingCertificate | None,
    ) -> None:
        self._socket = listener
        self._make = make
        self._state = state
        self._certificate = certificate
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None
        self._closed = False
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Stop accepting, and end the current handshakes."""
        if self._closed:
            return
        self._closed = True
        if self._resume:
            self._resume.cancel()
        self._loop.remove_reader(self._socket)
        for task in self._handshakes:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until those handshakes have ended."""
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._wait_for_files(error)
                    return
                continue  # this client is gone already
            self._take(accepted, str(address[0]))

    def _wait_for_files(self, error: OSError) -> None:
        text = f"no connection can be accepted: {error.strerror}: allow the process more open files"
        self._state.complain("no-files", text)
        self._loop.remove_reader(self._socket)
        self._resume = self._loop.call_later(_WITHOUT_FILES, self._loop.add_reader, self._socket, self._accept)

    def _take(self, accepted: socket.socket, host: str) -> None:
        connection, connections = self._make(), self._state.open
        closed = connections.closed
        if not connections.add(connection, host):
            text = f"a connection was refused: {len(connections)} are answering requests"
            self._state.complain("refused", text, host)
            accepted.close()
            return
        if connections.closed > closed:
            text = f"a connection was closed to make room: {connections.most} were open"
            self._state.complain("full", text, connections.last_closed)
        task = connection.handshake = self._loop.create_task(self._connect(accepted, connection, host))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _connect(self, accepted: socket.socket, connection: Connection, host: str) -> None:
        context = self._certificate.context if self._certificate else None
        seconds = HANDSHAKE if context else None
        accepted.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=context, ssl_handshake_timeout=seconds
            )
        except BaseException as error:
            self._state.open.remove(connection)
            accepted.close()
            if not isinstance(error, OSError):
                raise
            text = one_line(error, 200)
            if _NOT_TRUSTED.search(text):
                text = f"a client does not trust the certificate that it was shown: {text}"
                self._state.complain("not-trusted", text, host)
            elif _CLIENT_CERTIFICATE.search(text):
                text = f"a client has no certificate that a CA of VMGUARD_CLIENT_CA_FILE has signed: {text}"
                self._state.complain("client-certificate", text, host)
            else:
                self._state.complain("handshake", f"a TLS handshake failed: {text}", host, "debug")
        finally:
            connection.handshake = None
