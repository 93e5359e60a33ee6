"""The command `vmguard`: finds the subcommand, and turns a failure that a person can fix into one line and exit 2."""

import argparse
import importlib
import os
import sys
from collections.abc import Collection, Sequence
from io import TextIOWrapper
from typing import NoReturn

from webhook import __version__
from webhook.cli.usage import LONGEST_ERROR, UsageError
from webhook.text import one_line

COMMANDS = {
    "serve": "serve the webhook",
    "review": "decide offline on pods, resources and AdmissionReviews",
    "audit": "predict what enforcing vmguard would change and break in a cluster",
    "level": "say which Pod Security level pods reach",
    "explain": "say what a rule id means",
    "manifests": "print or write the Kubernetes objects that install vmguard",
    "certs": "report on the CA and the CA bundles, and rotate them",
    "version": "print the version",
    "completion": "print the script that lets a shell complete vmguard's commands",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; see {self.prog} --help")


def parser(asked: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the whole command line; the module of the requested subcommand adds its options.

    Only that module is imported: serving needs a great deal that a review should not wait for.
    """
    return _parser([next((argument for argument in asked if not argument.startswith("-")), "")])


def _parser(wanted: Collection[str]) -> argparse.ArgumentParser:
    """The parser with the options of the wanted subcommands."""
    top = _Parser(prog="vmguard", description="Makes VictoriaMetrics pods secure at admission.")
    top.add_argument("--version", action="version", version=f"vmguard {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, description in COMMANDS.items():
        sub = commands.add_parser(name, help=description, description=f"{description[0].upper()}{description[1:]}.")
        if name in wanted:
            module = importlib.import_module(f"webhook.cli.{name}")
            module.add_options(sub)
            sub.set_defaults(run=module.run)
    return top


def complete_parser() -> argparse.ArgumentParser:
    """The parser with the options of every subcommand."""
    return _parser(COMMANDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 for a denial, 2 for bad input or usage."""
    _make_writable()
    try:
        asked = sys.argv[1:] if arguments is None else arguments
        options = parser(asked).parse_args(asked)
        status = int(options.run(options))
        sys.stdout.flush()
    except UsageError as error:
        return _fail(str(error))
    except BrokenPipeError:
        _abandon_output()
        return 141
    except OSError as error:  # files are read behind a UsageError of their own, so this is the output
        _abandon_output()
        return _fail(f"vmguard: {error.filename or 'standard output'}: {error.strerror or error}")
    except KeyboardInterrupt:
        return 130
    else:
        return status


def _make_writable() -> None:
    """See that whatever is in a file can be printed: as UTF-8, and with an escape for what is not even that."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    if sys.stdout is None:  # standard output was closed before the start
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the end


def _abandon_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit does not fail again


def _fail(message: str) -> int:
    print(one_line(message, LONGEST_ERROR), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
