"""`make cluster` first says what it does: its first run installs packages and builds programs for minutes."""

import shutil
import subprocess
import sys

import pytest

from tests.controlplane.versions import NEWEST
from tests.support.patience import PATIENCE
from tests.support.server import ROOT

FIRST = "First run: make installs Python packages"
ESTIMATE = "tests.controlplane.build --estimate"


@pytest.mark.parametrize("version", ["", "1.24"])
def test_what_the_first_run_does_is_printed_before_anything_is_installed(tmp_path, version):
    make = shutil.which("make")
    assert make
    command = [make, "--dry-run", f"VENV={tmp_path}/venv", f"VERSION={version}", "cluster"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE, check=True)
    places = [
        done.stdout.index(text) for text in (FIRST, f"{ESTIMATE} {version}", "pip install", "controlplane.cluster")
    ]
    assert places == sorted(places)


@pytest.mark.slow
def test_each_run_says_what_it_starts(tmp_path):
    """Also where it then fails, here without Go."""
    environment = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "tests.controlplane.cluster"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=PATIENCE, check=False
    )
    assert done.stdout.startswith(f"Starting a control plane of Kubernetes {NEWEST}, ")
    assert "needs Go" in done.stderr
