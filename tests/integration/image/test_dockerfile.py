"""The steps of the Dockerfile that build the wheel, run on this machine, and what the whole file promises."""

import os
import re
import shutil
import subprocess
import sys
from zipfile import ZipFile

import pytest

from tests.support.patience import PATIENCE
from tests.support.programs import missing, program
from tests.support.server import ROOT, environment
from webhook import __version__


def _instructions(name):
    """Those of this name in the first stage."""
    _, first, _ = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text().replace("\\\n", " "), flags=re.MULTILINE)
    return [line.removeprefix(f"{name} ") for line in first.splitlines() if line.startswith(f"{name} ")]


def _commands():
    return [command for line in _instructions("RUN") for command in re.split(r"\s+&&\s+", line.strip())]


def test_every_package_from_a_registry_is_checked_against_a_hash():
    installing = [command for command in _commands() if "/pip " in command]
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
        *names, _ = line.split()
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
    sources = (path for package in ("webhook", "certs") for path in (ROOT / package).rglob("*.*"))
    assert {str(path.relative_to(ROOT)) for path in sources if path.suffix in {".py", ".j2", ".css", ".js"}} <= names


def test_the_version_is_the_one_of_the_package():
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^ARG VERSION=(\S+)$", text, re.MULTILINE) == [__version__]
    assert re.findall(r"^IMAGE \?= vmguard:(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE) == [__version__]


def test_every_file_that_the_build_copies_is_sent_to_it():
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = {name for line in _instructions("COPY") for name in line.split()[:-1]}
    assert copied == sent


def test_both_stages_have_the_same_base():
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2


BUILDERS = ("docker", "podman", "buildah")


@pytest.fixture
def builders(tmp_path):
    """Runs `make image` where some builders run and only print what they are called with; what it printed."""

    def run(*running, **variables):
        for name in BUILDERS:
            (tmp_path / name).write_text(
                f'#!/bin/sh\n[ "$1" != info ] || exit {int(name not in running)}\necho {name} "$@"\n'
            )
            (tmp_path / name).chmod(0o755)
        words = [
            program("make"),
            "--no-print-directory",
            "image",
            *(f"{key}={value}" for key, value in variables.items()),
        ]
        known = environment(PATH=f"{tmp_path}:{os.environ['PATH']}", MAKEFLAGS="")
        done = subprocess.run(words, cwd=ROOT, env=known, capture_output=True, text=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout.splitlines()[-1]

    return run


@pytest.mark.parametrize("name", BUILDERS)
def test_make_image_uses_the_builder_that_runs(builders, name):
    status, called = builders(name)
    assert status == 0
    assert called.startswith(f"{name} build --build-arg REVISION=")
    assert called.endswith(f" --tag vmguard:{__version__} .")


def test_make_image_passes_on_the_name_the_base_and_the_platform(builders):
    _, called = builders(
        "podman", "buildah", IMAGE="x/vmguard:1", PYTHON_IMAGE="python@sha256:0", PLATFORM="linux/arm64"
    )
    assert called.startswith("podman build --platform linux/arm64 --build-arg PYTHON_IMAGE=python@sha256:0 ")
    assert called.endswith(" --tag x/vmguard:1 .")


def test_make_image_says_what_is_missing(builders):
    status, line = builders()
    assert status == 2
    assert line == "No docker, podman or buildah runs here. Install buildah, or start docker."
