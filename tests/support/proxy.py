"""A TCP proxy between vmguard and an API server, either way, that can cut, tear, delay or refuse connections."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_CLOSE_NOTIFY = b"\x17\x03\x03\x00\x13"
"""The head of the record with which TLS 1.3 announces the end of a connection: no other record has 19 bytes here."""

_CLOSE_NOTIFY_SIZE = len(_CLOSE_NOTIFY) + 19


class Proxy:
    """Forwards to one port, until a test changes that.

    `delay` is seconds before each piece goes on; `refusing` ends newcomers at once; with `tearing` half of a piece goes
    on and its connection ends. `fin_delay` is seconds until a client learns that the server has ended a connection,
    by TLS 1.3 or by TCP.
    """

    def __init__(self, target: tuple[str, int], listen: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(listen)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = False
        self.port: int = self._listener.getsockname()[1]
        self.delay = 0.0
        self.fin_delay = 0.0
        self.refusing = False
        self.tearing = False
        self.accepted = 0

    def run(self) -> None:
        """Forward until `end`."""
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def cut(self) -> None:
        """End every connection in the middle of whatever it carries."""
        with self._lock:
            cut, self._open = self._open, set()
        for each in cut:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def end(self) -> None:
        """Forward nothing any more."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _pump(self, source: socket.socket, sink: socket.socket, to_client: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if self.delay:
                    time.sleep(self.delay)
                if self.tearing:
                    sink.sendall(piece[: len(piece) // 2])
                    break
                if to_client and self.fin_delay and piece[-_CLOSE_NOTIFY_SIZE:].startswith(_CLOSE_NOTIFY):
                    sink.sendall(piece[:-_CLOSE_NOTIFY_SIZE])
                    time.sleep(self.fin_delay)
                    sink.sendall(piece[-_CLOSE_NOTIFY_SIZE:])
                else:
                    sink.sendall(piece)
        if to_client and self.fin_delay:
            time.sleep(self.fin_delay)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
        source.close()


@contextmanager
def proxied(port: int, host: str = "127.0.0.1", listen: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[Proxy]:
    """A running proxy to a port of this machine."""
    proxy = Proxy((host, port), listen)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.end()
        thread.join(5)
