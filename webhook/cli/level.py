"""`vmguard level`: which Pod Security level each pod in the files reaches as it stands, and why not a better one."""

import argparse
import sys

from webhook.cli.arguments import kubernetes_version
from webhook.cli.files import read_files
from webhook.cli.usage import UsageError
from webhook.facts import NEWEST_MINOR
from webhook.offline.inputs import InputError, sort_documents
from webhook.podsecurity import evaluate
from webhook.text import printable


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="Pods, Lists, AdmissionReviews; - is stdin")
    parser.add_argument(
        "--kubernetes-version",
        type=kubernetes_version,
        default=NEWEST_MINOR,
        metavar="VERSION",
        help=f"such as 1.34 (default 1.{NEWEST_MINOR})",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say why a pod is not restricted")


def run(options: argparse.Namespace) -> int:
    """Print a line for each pod, in the order in which they stand there."""
    lines: list[str] = []
    for name in options.files:
        try:
            found = sort_documents(read_files([name])).inputs
        except InputError as error:
            raise UsageError(f"vmguard level: {error}") from None
        shown = "stdin" if name == "-" else name
        pods = [item for item in found if item.kind == "Pod"]
        if not pods:
            print(f"vmguard level: {shown} has no Pod", file=sys.stderr)
        for item in pods:
            verdict = evaluate(item.object, options.kubernetes_version)
            lines.append(f"{shown}: {verdict.level}")
            if options.verbose:
                lines += [f"  {item.title}"] if len(pods) > 1 else []
                lines += [f"  {reason.level} is out of reach: {reason}" for reason in verdict.reasons]
    print(*map(printable, lines), sep="\n", end="\n" if lines else "")
    return 0
