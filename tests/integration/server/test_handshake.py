"""Connections become TLS connections, and those that never finish the handshake are closed."""

import socket
import ssl
import time

import pytest

from tests.support.patience import PATIENCE
from tests.support.sample_pods import vmsingle
from tests.support.server import serving
from webhook.server.listener import HANDSHAKE

HALF = b"\x16\x03\x01\x02\x00\x01"
"""Of a client's greeting."""


def test_clients_that_never_finish_their_handshake_are_let_go(tmp_path):
    with serving(tmp_path, vmsingle()[1]) as server:
        before = server.metric("process_open_fds")
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        try:
            for index, each in enumerate(silent):
                each.sendall(HALF if index % 2 else b"")
                each.settimeout(HANDSHAKE + PATIENCE)
            assert server.ask("GET", "/healthz")[0] == 200
            assert server.metric("process_open_fds") >= before + 50
            began = time.monotonic()
            assert {each.recv(1) for each in silent} == {b""}
            assert time.monotonic() - began > 1, "they were not let go at once"
            assert server.metric("process_open_fds") <= before
        finally:
            for each in silent:
                each.close()
        assert server.ask("GET", "/healthz")[0] == 200
        assert not [line for line in server.lines() if line["level"] == "error"]


@pytest.mark.parametrize("first", ["128", "256"])
def test_the_cipher_is_the_clients_choice(tmp_path, first):
    """It knows which one its processor is fast at; with TLS 1.3 Python has no say in the order."""
    ciphers = sorted([f"ECDHE-ECDSA-AES{bits}-GCM-SHA{digest}" for bits, digest in (("128", "256"), ("256", "384"))])
    with serving(tmp_path, []) as server:
        trusted = ssl.create_default_context(cafile=server.ca)
        trusted.maximum_version = ssl.TLSVersion.TLSv1_2
        trusted.set_ciphers(":".join(ciphers if first == "128" else ciphers[::-1]))
        with (
            socket.create_connection(("127.0.0.1", server.port)) as plain,
            trusted.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            assert first in secured.cipher()[0]
