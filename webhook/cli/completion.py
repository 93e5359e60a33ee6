"""`vmguard completion`: the script by which a shell completes commands, options and their values."""

import argparse
from collections.abc import Mapping

import shtab

from webhook.cli.main import complete_parser

LOADED_BY: Mapping[str, str] = {
    "bash": "vmguard completion bash >~/.local/share/bash-completion/completions/vmguard",
    "zsh": 'vmguard completion zsh >"${fpath[1]}/_vmguard"',
    "fish": "vmguard completion fish >~/.config/fish/completions/vmguard.fish",
    "powershell": "vmguard completion powershell >>$PROFILE",
    "tcsh": "vmguard completion tcsh >>~/.tcshrc",
}
"""The command that lets every new shell load the script, as docs/commands.md has it."""

_USAGE = "# Usage:"
"""Where shtab begins to name other places."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "shell", choices=shtab.SUPPORTED_SHELLS, metavar="SHELL", help=", ".join(shtab.SUPPORTED_SHELLS)
    )


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    lines = shtab.complete(complete_parser(), shell=options.shell).splitlines()
    begin = lines.index(_USAGE)
    end = next(number for number in range(begin, len(lines)) if not lines[number].startswith("#"))
    lines[begin:end] = [f"# To load it in every new shell: {LOADED_BY[options.shell]}"]
    print("\n".join(lines))
    return 0
