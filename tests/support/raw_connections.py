"""Connections to a real server that a test holds open, and what they cost its process."""

import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.patience import PATIENCE
from tests.support.server import Server


def plain(server: Server, source: str = "") -> socket.socket:
    """A TCP connection, from an address of this machine such as `127.0.0.2`."""
    return socket.create_connection(
        ("127.0.0.1", server.port), timeout=PATIENCE, source_address=(source, 0) if source else None
    )


def tls(server: Server, source: str = "") -> ssl.SSLSocket:
    """As `plain`, with a complete handshake."""
    trusted = ssl.create_default_context(cafile=server.ca)
    return trusted.wrap_socket(plain(server, source), server_hostname="localhost")


def memory(server: Server) -> int:
    """MiB that the process holds."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def files(server: Server) -> int:
    """File descriptors that the process has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def within(true: Callable[[], bool], what: str) -> None:
    """Wait until something is true."""
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.1)
