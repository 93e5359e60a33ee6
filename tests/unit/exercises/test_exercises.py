"""Three changes that people often need take as few lines as the architecture promises."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.server import ROOT

PATCHES = sorted((ROOT / "tests" / "exercises").glob("*.patch"))
COPIED = ("webhook", "certs", "tests", "docs", "deploy", "examples", "pyproject.toml", "README.md", "CHANGELOG.md")
_CHANGE = re.compile(r"(\S+) \+(\d+) -(\d+)( new)?")


@dataclass(frozen=True)
class Exercise:
    """A patch and its declaration: lines added and deleted by file, the new files, and the tests to run."""

    patch: Path
    changes: dict[str, tuple[int, int]]
    new: frozenset[str]
    tests: tuple[str, ...]


def _declared(patch):
    head = patch.read_text().partition("\ndiff --git ")[0]
    lines = [line.partition(": ")[::2] for line in head.splitlines() if line]
    assert [line for line in lines if line[0] not in {"Exercise", "Changes", "Tests"}] == []
    changes = [_CHANGE.fullmatch(value) for name, value in lines if name == "Changes"]
    return Exercise(
        patch,
        {change[1]: (int(change[2]), int(change[3])) for change in changes},
        frozenset(change[1] for change in changes if change[4]),
        tuple(test for name, value in lines if name == "Tests" for test in value.split()),
    )


def _git_apply(exercise, *options, cwd=ROOT):
    command = ["git", "apply", *options, str(exercise.patch)]
    environment = {**os.environ, "GIT_DIR": os.devnull}  # the copy is no repository
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def copy(tmp_path):
    """A copy of the tree without what is generated; the recorded cases are linked."""
    ignored = shutil.ignore_patterns("golden", "__pycache__", "*.pyc", ".hypothesis")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    (tmp_path / "tests" / "golden").symlink_to(ROOT / "tests" / "golden")
    return tmp_path


def test_there_are_exercises():
    assert {patch.stem for patch in PATCHES} >= {"new-kind", "new-strict-field", "new-warning"}


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_an_exercise_changes_the_lines_that_it_declares(patch):
    """Outside the tests, every changed line is declared; the tests only gain files."""
    exercise = _declared(patch)
    changed = {}
    for line in _git_apply(exercise, "--numstat").splitlines():
        added, deleted, name = line.split("\t")
        changed[name] = int(added), int(deleted)
    product = {name: lines for name, lines in changed.items() if not name.startswith("tests/")}
    assert product == exercise.changes
    assert {name for name in product if not (ROOT / name).exists()} == exercise.new
    assert [name for name in changed if name.startswith("tests/") and (ROOT / name).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_the_tests_of_a_copy_with_an_exercise_pass(patch, copy):
    exercise = _declared(patch)
    assert exercise.tests
    _git_apply(exercise, cwd=copy)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *exercise.tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # they start slowly
    environment.pop("CI_SECONDS", None)  # the seconds of this run are in CI's table as those of this test
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
