"""Programs that tests run: a missing one ends the test, and none outlives the test that started it."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.controlplane.process import leashed
from tests.support.patience import PATIENCE
from tests.support.server import ROOT, environment


def missing(reason: str) -> NoReturn:
    """End the test because this machine lacks something: a failure where CI is set, elsewhere the test is skipped."""
    raise (pytest.fail if os.environ.get("CI") else pytest.skip).Exception(reason)


def program(name: str) -> str:
    """The path of a program of the machine."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not on the PATH")
    return found


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A process in the project's folder with text streams; it is killed at the end of the block if it still runs."""
    absolute = leashed([program(command[0]), *command[1:]])
    with subprocess.Popen(absolute, text=True, cwd=ROOT, env=options.pop("env", environment()), **options) as process:
        try:
            yield process
        finally:
            process.kill()


def as_text(command: Sequence[str | Path]) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
