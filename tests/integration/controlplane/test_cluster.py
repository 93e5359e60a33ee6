"""`make cluster` does what it prints, and leaves nothing behind."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.controlplane.versions import NEWEST, OLDEST_AND_NEWEST, WITH_POLICIES
from tests.support.patience import PATIENCE
from tests.support.programs import started
from tests.support.server import ROOT, environment

pytestmark = [pytest.mark.usefixtures("can_have_control_plane")]


def _started(cluster):
    text = ""
    for line in cluster.stdout:
        text += line
        if line.startswith("Ctrl-C"):
            break
    return text


def _processes(folder):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder in path.read_text():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def _as_printed(version, processes, *options):
    """The result of all commands that are printed, and the folder of the control plane that has ended."""
    command = [sys.executable, "-m", "tests.controlplane.cluster", version, *options]
    with started(command, stdout=subprocess.PIPE) as cluster:
        try:
            text = _started(cluster)
            lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
            folder = re.search(r"KUBECONFIG=(\S+)/", text)[1]
            assert len(_processes(folder)) == processes
            run = [shutil.which("bash"), "-c", "\n".join(lines)]
            done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)
        finally:
            cluster.send_signal(signal.SIGINT)
            assert cluster.wait(PATIENCE) == 0
    return done, folder


@pytest.mark.parametrize("version", OLDEST_AND_NEWEST)
def test_what_it_prints_works_until_ctrl_c(version, request):
    if version == WITH_POLICIES:
        request.getfixturevalue("can_have_policies")
    done, folder = _as_printed(version, 6)
    assert "vmsingle.operator.victoriametrics.com/demo created" in done.stdout
    assert "runAsUser: 65534" in done.stdout
    assert "automountServiceAccountToken: false" in done.stdout
    assert "names PodSecurityPolicy 'restricted'" in done.stderr
    missing = "which does not exist: create it" in done.stderr
    accepted = "vmsingle.operator.victoriametrics.com/denied created" in done.stdout
    assert missing is accepted is (version == WITH_POLICIES)
    assert not Path(folder).exists()
    assert not _processes(folder)


def test_of_three_replicas_one_is_killed_and_the_ca_is_rotated():
    """The commands that it prints for that work after those of one replica."""
    done, folder = _as_printed(NEWEST, 8, "--replicas", "3")
    assert "runAsUser: 65534" in done.stdout
    assert "No such process" not in done.stderr
    assert "The next CA" in done.stdout
    assert not _processes(folder)


def test_an_overlay_is_installed_and_a_namespace_enforced():
    """Two replicas run as pods of the Deployment."""
    done, folder = _as_printed(NEWEST, 7, "--overlay", "default")
    assert "namespace/monitoring labeled" in done.stdout
    assert "runAsUser: 65534" in done.stdout
    assert not _processes(folder)
