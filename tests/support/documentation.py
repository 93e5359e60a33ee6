"""The documentation's commands, found and run as they are printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.patience import PATIENCE
from tests.support.server import ROOT, environment


def shell_lines(text: str) -> list[str]:
    """The lines of a page's shell blocks, continued lines as one."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    return [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def as_printed(command: str, PATH: str = "", folder: Path = ROOT, **more: str) -> "subprocess.CompletedProcess[str]":  # noqa: N803
    """Run a line of the documentation in a shell, in a folder, where `make` has put the command on the PATH."""
    path = os.pathsep.join((str(Path(sys.executable).parent), *([PATH] if PATH else []), os.environ["PATH"]))
    run = ["sh", "-c", command]
    return subprocess.run(
        run,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(PATH=path, **more),
        timeout=PATIENCE,
        check=False,
    )
