"""One running program of a control plane: started on a leash, its output kept in a file, its end certain.

It knows nothing of what the program is. A program dies with this process however this process ends; Linux does that.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.controlplane.network_namespace import inside, of_this_thread

_LEASH = Path(__file__).parent / "leash.py"
_TAIL = 25

_STARTER = ThreadPoolExecutor(1, "starter")
"""Starts every program: Linux ends a leashed process with the thread that started it, and this one lives on."""


class FailedError(RuntimeError):
    """A program ended or did not get ready; the text ends with the last lines it wrote."""


class Process:
    """A running program, in the network namespace of the thread that makes it. Its output goes to `log`."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.name = Path(command[0]).name
        self.log = log
        self._popen = _STARTER.submit(_start, command, log, environment, of_this_thread()).result()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def check(self) -> None:
        """Raise FailedError if it has ended."""
        if (status := self._popen.poll()) is not None:
            raise FailedError(f"{self.name} ended with {status}; the end of {self.log}:\n{self.tail()}")

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL:])

    def send(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self._popen.poll() is None:
            self._popen.send_signal(number)

    def end(self, number: int = signal.SIGKILL, timeout: float = 30) -> None:
        """Send a signal and wait for the end; what outlives `timeout` seconds is killed."""
        self.send(number)
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def leashed(command: Sequence[str]) -> list[str]:
    """A command that ends together with the thread of this process that starts it; its program is an absolute path."""
    return [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command]


def _start(command: list[str], log: Path, environment: dict[str, str] | None, network: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as output, inside(network):
        return subprocess.Popen(
            leashed(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=environment,
            start_new_session=True,
        )
