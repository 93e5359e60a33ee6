"""A network namespace in which a control plane reaches Services, and what happens where there can be none."""

import socket
import sys
import threading
from pathlib import Path

import pytest

from tests.controlplane import network_namespace as module
from tests.controlplane.build import UnavailableError
from tests.controlplane.fixtures import had
from tests.controlplane.network_namespace import inside, network_namespace, of_this_thread
from tests.controlplane.process import Process

ELSEWHERE = ("10.1.2.3", 8443)


@pytest.fixture
def namespace_of_a_test(pytestconfig):
    made = network_namespace()
    yield had(pytestconfig, made.__enter__)
    made.__exit__(None, None, None)


def _network():
    return Path(of_this_thread()).stat().st_ino


@pytest.mark.usefixtures("namespace_of_a_test")
def test_addresses_that_are_not_loopback_lead_to_this_machine():
    with socket.create_server(ELSEWHERE), socket.create_connection(ELSEWHERE) as client:
        assert client.getpeername() == ELSEWHERE


@pytest.mark.usefixtures("namespace_of_a_test")
def test_programs_and_threads_that_are_started_in_it_are_in_it(tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(_network()))
    thread.start()
    thread.join()
    assert found == [_network()]
    code = "import os, time; print(os.stat('/proc/self/ns/net').st_ino, flush=True); time.sleep(60)"
    process = Process([sys.executable, "-c", code], tmp_path / "log")
    try:
        while not process.log.read_text().endswith("\n"):
            process.check()
        assert int(process.log.read_text()) == _network()
    finally:
        process.end()


def test_the_thread_is_back_in_its_own_namespace_afterwards(pytestconfig):
    before = _network()
    made = network_namespace()
    had(pytestconfig, made.__enter__)
    inner = _network()
    with inside(f"/proc/{threading.main_thread().native_id}/ns/net"):
        assert _network() == inner
    made.__exit__(None, None, None)
    assert inner != before == _network()


def test_where_none_can_be_made_the_reason_and_what_to_do_are_named(monkeypatch):
    class Forbidden:
        def unshare(self, _):
            module.ctypes.set_errno(1)
            return -1

    monkeypatch.setattr(module, "_LIBC", Forbidden())
    with pytest.raises(UnavailableError, match=r"Operation not permitted.*run them as root"), network_namespace():
        pass


@pytest.mark.parametrize(("continuous", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_a_missing_namespace_fails_in_ci_and_skips_elsewhere(pytestconfig, monkeypatch, continuous, outcome):
    def none():
        raise UnavailableError("there is none")

    monkeypatch.setenv("CI", continuous)
    with pytest.raises(outcome.Exception, match="there is none"):
        had(pytestconfig, none)
