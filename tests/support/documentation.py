"""Finds the commands of the documentation, and runs them as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from tests.support.patience import PATIENCE
from tests.support.server import ROOT, environment


def shell_lines(text: str) -> list[str]:
    """The lines of a page's shell blocks, continued lines as one."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    return [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]


class Block(NamedTuple):
    """One block of a page: its heading, the language after the fence ("" for an indented one), and its text."""

    heading: str
    language: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file that it shows, which its first line has as a comment, "" for none."""
        found = re.match(r"# (\S+\.ya?ml)\n", self.text)
        return found[1] if found and self.language == "yaml" else ""

    @property
    def commands(self) -> list[str]:
        """Its lines, continued lines as one."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip().removeprefix("$ ") for line in lines if line.strip()]


_BLOCK = re.compile(
    r"^#+ (?P<heading>[^\n]*)$"
    r"|^(?P<indent> *)```(?P<language>\w*)\n(?P<fenced>.*?)^ *```$"
    r"|(?:^|(?<=\n))(?P<indented>(?: {4}\S[^\n]*\n)+)",
    re.MULTILINE | re.DOTALL,
)


def blocks(text: str) -> list[Block]:
    """The blocks of a page in their order, those within lists too."""
    heading, found = "", []
    for match in _BLOCK.finditer(text):
        if match["heading"] is not None:
            heading = match["heading"]
        elif match["fenced"] is not None:
            found.append(Block(heading, match["language"], dedent(match["fenced"])))
        else:
            found.append(Block(heading, "", dedent(match["indented"])))
    return found


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
