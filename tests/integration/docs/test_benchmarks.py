"""Every command of docs/benchmarks.md runs as printed, made small by options that follow its own."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.support.programs import program
from tests.support.server import ROOT, environment

SMALL = {
    "bench/line.py": "",
    "-m bench.reviews": "--rounds 1 --seconds 0.2",
    "-m bench.instructions": "--only vmguard --times 1",
    "-m bench.start": "--rounds 1",
    "-m bench.memory": "--reviews 200 --cut 20",
    "-m bench.attacks": "--only 1",
    "-m bench.flood": "--seconds 0.1 --bytes 10000",
    "-m bench.pods": "--rounds 1 --pods 20",
    "-m bench.pods_of_one_owner": "--rounds 1 --pods 20",
    "-m bench.availability": "--creates 20 --only leaf",
    "-m bench.scale": "--resources 20 --minutes 0.02 --changes 3 --rounds 1",
    "-m bench.audit_cost": "--resources 20 --pods 2",
    "-m bench.image": "--rounds 1",
}
BY_HAND = {"bench/line.py", "-m bench.instructions"}
"""What `make bench` leaves out."""

ELSEWHERE = {"-m bench.image"}
"""What tests/integration/image measures, with the image that is built there."""

COMMANDS = sorted(set(re.findall(r"`python ([^`]+)`", (ROOT / "docs" / "benchmarks.md").read_text())))

DOWNLOADS = "go: downloading "
"""The beginning of Go's line about a download into an empty module cache."""

_BUILT = 1500
"""Seconds within which even a first run, which builds what it measures against, must be done."""


def _program(command):
    (program,) = (each for each in SMALL if f"{command} ".startswith(f"{each} "))
    return program


def test_every_benchmark_is_written_down():
    assert {_program(command) for command in COMMANDS} == SMALL.keys()
    made = re.findall(r"python (-m bench\.\w+)", (ROOT / "Makefile").read_text())
    assert set(made) == SMALL.keys() - BY_HAND


@pytest.mark.parametrize("command", [each for each in COMMANDS if _program(each) not in ELSEWHERE])
def test_it_runs_as_printed(command, can_have_control_plane, request):
    program("go")
    if "availability" in command:
        request.getfixturevalue("can_have_network_namespace")
    if "instructions" in command and not shutil.which("valgrind"):
        pytest.skip("valgrind is not on the PATH")  # nothing else of the project needs it
    words = [sys.executable, *command.split(), *SMALL[_program(command)].split()]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=_BUILT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d", done.stdout), "it says what it measured"
    assert not [line for line in done.stderr.splitlines() if not line.startswith(DOWNLOADS)]
