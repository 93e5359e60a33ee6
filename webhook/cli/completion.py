"""`vmguard completion`: the script by which a shell completes commands, options and their values."""

import argparse

import shtab

from webhook.cli.main import complete_parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "shell", choices=shtab.SUPPORTED_SHELLS, metavar="SHELL", help=", ".join(shtab.SUPPORTED_SHELLS)
    )


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    print(shtab.complete(complete_parser(), shell=options.shell))
    return 0
