"""The steps of the Dockerfile that build the wheel, run on this machine; the image itself needs a registry."""

import re
import shutil
import subprocess
import sys
from zipfile import ZipFile

from tests.support.programs import missing, program
from tests.support.server import ROOT, environment


def _instructions(name):
    joined = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.removeprefix(f"{name} ") for line in joined.splitlines() if line.startswith(f"{name} ")]


def _commands():
    (line,) = _instructions("RUN")
    return re.split(r"\s+&&\s+", line.strip())


def test_every_package_from_a_registry_is_checked_against_a_hash():
    installing = [command for command in _commands() if "pip " in command]
    assert len(installing) == 4
    for command in installing:
        hashes = "--require-hashes -r requirements" in command
        offline = "--no-deps" in command and ("--no-index" in command or "--no-build-isolation" in command)
        assert hashes or offline, command


def test_the_locked_backend_builds_the_wheel_of_both_packages(tmp_path):
    """All steps but the installation of what the wheel needs, which `make` does with the same lock."""
    source = tmp_path / "src"
    source.mkdir()
    for line in _instructions("COPY"):
        *names, _ = [word for word in line.split() if not word.startswith(("--from", "/opt"))] or [""]
        for name in names:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, source / name)
    commands = [command for command in _commands() if "/opt/vmguard" not in command]
    assert len(commands) == 3
    script = " && ".join(commands).replace("/opt/", f"{tmp_path}/").replace("/wheels", f"{tmp_path}/wheels")
    script = script.replace("python -m", f"{sys.executable} -m")
    run = subprocess.run(
        [program("sh"), "-ec", script], cwd=source, env=environment(), capture_output=True, text=True, check=False
    )
    if "NewConnectionError" in run.stderr:
        missing("no package registry can be reached")
    assert run.returncode == 0, run.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    assert {
        str(path.relative_to(ROOT)) for package in ("webhook", "certs") for path in (ROOT / package).rglob("*.py")
    } <= names
