"""A network namespace of its own, in which loopback has all addresses of 10.0.0.0/8 too.

An EndpointSlice may not have addresses of 127.0.0.0/8, so a control plane whose Services have endpoints on this machine
runs in such a namespace. Linux keeps the namespace for each thread. What the thread of the block starts, processes and
threads, is in the namespace; what was started before is not.
"""

import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.controlplane.build import UnavailableError

ADDRESS = "10.0.0.1"
"""Its class gives it the network 10.0.0.0/8."""

_CLONE_NEWNET = 0x40000000
_SET_ADDRESS, _SET_FLAGS, _UP = 0x8916, 0x8914, 0x1
"""SIOCSIFADDR, SIOCSIFFLAGS and IFF_UP of Linux."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def of_this_thread() -> str:
    """The path of the namespace of this thread, as long as the thread lives."""
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


@contextmanager
def network_namespace() -> Iterator[None]:
    """A new namespace for this thread, until the block ends.

    Raises:
        UnavailableError: this machine does not allow it.

    """
    before = os.open(of_this_thread(), os.O_RDONLY)
    try:
        if _LIBC.unshare(_CLONE_NEWNET):
            raise UnavailableError(
                f"No network namespace can be made: {os.strerror(ctypes.get_errno())}. The tests of a real Service "
                "network need Linux and root (CAP_SYS_ADMIN): run them as root"
            )
        try:
            _bring_loopback_up()
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)


@contextmanager
def inside(path: str) -> Iterator[None]:
    """This thread is in another thread's namespace, until the block ends."""
    if Path(path).stat().st_ino == Path(of_this_thread()).stat().st_ino:  # without root only this one can be entered
        yield
        return
    before, there = os.open(of_this_thread(), os.O_RDONLY), os.open(path, os.O_RDONLY)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)
        os.close(there)


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH22x", b"lo", _UP))
        address = struct.pack("2x4s8x", socket.inet_aton(ADDRESS))
        fcntl.ioctl(control, _SET_ADDRESS, struct.pack("16sH14s8x", b"lo:1", socket.AF_INET, address))
