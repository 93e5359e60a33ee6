"""Every command of docs/benchmarks.md runs as printed, made small by options that follow its own."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.controlplane.build import UnavailableError
from tests.controlplane.fixtures import had
from tests.support.server import ROOT, environment

SMALL = {
    "bench/line.py": "",
    "-m bench.reviews": "--rounds 1 --seconds 0.2",
    "-m bench.memory": "--starts 1 --reviews 200 --cut 20",
    "-m bench.flood": "--seconds 0.1 --bytes 10000",
    "-m bench.pods": "--rounds 1 --pods 20",
    "-m bench.scale": "--resources 20 --minutes 0.02 --changes 3 --rounds 1",
}
COMMANDS = sorted(set(re.findall(r"`python ([^`]+)`", (ROOT / "docs" / "benchmarks.md").read_text())))

_BUILT = 1500
"""Seconds within which even a first run, which builds what it measures against, must be done."""


def _program(command):
    (program,) = (each for each in SMALL if command.startswith(each))
    return program


def _go():
    if not shutil.which("go"):
        raise UnavailableError("The benchmarks need Go, which is not on the PATH.")


def test_every_benchmark_is_written_down():
    assert {_program(command) for command in COMMANDS} == SMALL.keys()
    made = re.findall(r"python (-m bench\.\w+)", (ROOT / "Makefile").read_text())
    assert set(made) == SMALL.keys() - {"bench/line.py"}


@pytest.mark.parametrize("command", COMMANDS)
def test_it_runs_as_printed(command, pytestconfig, can_have_control_plane):
    had(pytestconfig, _go)
    words = [sys.executable, *command.split(), *SMALL[_program(command)].split()]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=_BUILT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d", done.stdout), "it says what it measured"
    assert not done.stderr
