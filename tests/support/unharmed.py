"""A server after a fault is what it was before it."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.controlplane.api import wait_for
from tests.support.server import Server

IDLE = 130
"""Seconds after which neither an API server nor vmguard keeps an unused connection."""

GROWTH = 30 * 2**20
"""Bytes that the interpreter may keep of what it once needed."""


def troubles(server: Server) -> list[str]:
    """What `/readyz?verbose` says is wrong with the server, not with what other tests or its registration set."""
    lines = server.operation("/readyz?verbose")[1].splitlines()
    of_others = "[!]namespace ", "[!]exempt-namespaces ", "[!]not-registered ", "[!]weaker-entries "
    return [line for line in lines if line.startswith("[!]") and not line.startswith(of_others)]


@contextmanager
def unharmed(server: Server) -> Iterator[None]:
    """After the block all watches get well, nothing has failed, and the server holds no more than it held."""
    tasks, descriptors, threads = server.metric("vmguard_tasks"), server.metric("process_open_fds"), server.threads()
    memory, lines = server.metric("process_resident_memory_bytes"), len(server.lines())
    yield
    wait_for(lambda: not troubles(server), "all watches to be well")
    wait_for(lambda: server.metric("vmguard_tasks") <= tasks, f"no more tasks than {tasks}")
    wait_for(lambda: server.metric("process_open_fds") <= descriptors, f"no more descriptors than {descriptors}", IDLE)
    assert server.threads() <= threads
    assert server.metric("process_resident_memory_bytes") < memory + GROWTH
    assert not [line for line in server.lines()[lines:] if line["level"] == "error"]
