"""`vmguard level`: which Pod Security level each pod in the files reaches as it stands, and why not a better one."""

import argparse
import sys

from webhook.cli.arguments import add_files, input_files, kubernetes_version
from webhook.cli.files import ReadingProblems, read_each_file
from webhook.facts import NEWEST_MINOR
from webhook.offline.inputs import sort_documents
from webhook.podsecurity import evaluate
from webhook.text import printable


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_files(parser, "Pods, Lists, AdmissionReviews")
    parser.add_argument(
        "--kubernetes-version",
        type=kubernetes_version,
        default=NEWEST_MINOR,
        metavar="VERSION",
        help=f"such as 1.34 (default 1.{NEWEST_MINOR})",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print why a pod is not restricted")


def run(options: argparse.Namespace) -> int:
    """Print a line for each pod, in their order; 2 when a file or a document cannot be read."""
    lines: list[str] = []
    problems = ReadingProblems("level")
    for name in input_files(options, "level"):
        before = problems.count
        found = sort_documents(read_each_file([name], problems.unreadable), problems.unusable).inputs
        shown = "stdin" if name == "-" else name
        pods = [item for item in found if item.kind == "Pod"]
        if not pods and problems.count == before:
            print(f"vmguard level: {shown} has no Pod", file=sys.stderr)
        for item in pods:
            verdict = evaluate(item.object, options.kubernetes_version)
            lines.append(f"{shown}: {verdict.level}")
            if options.verbose:
                lines += [f"  {item.title}"] if len(pods) > 1 else []
                lines += [f"  {reason.level} is out of reach: {reason}" for reason in verdict.reasons]
    print(*map(printable, lines), sep="\n", end="\n" if lines else "")
    return 2 if problems.count else 0
