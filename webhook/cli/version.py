"""`vmguard version`: which vmguard this is, and what it runs on."""

import argparse
import json
import platform

from webhook import __version__
from webhook.facts import NEWEST_MINOR


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="default text")


def run(options: argparse.Namespace) -> int:
    """Print one line, or one object."""
    found = {
        "version": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
        "kubernetes": f"1.{NEWEST_MINOR}",
    }
    if options.output == "json":
        print(json.dumps(found, indent=2))
    else:
        print(f"vmguard {found['version']} (Python {found['python']}, {found['platform']})")
    return 0
