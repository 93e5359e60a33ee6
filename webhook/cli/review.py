"""`vmguard review`: the decision of production, offline, on everything in the files that a person names."""

import argparse
import os
import sys

import msgspec

from webhook.admission.admission_review import ReviewError
from webhook.cli.arguments import add_files, input_files, kubernetes_version
from webhook.cli.files import ReadingProblems, read_each_file
from webhook.cli.usage import UsageError
from webhook.facts import NEWEST_MINOR, FactSource
from webhook.offline.file_facts import FileFacts
from webhook.offline.inputs import Input, facts_only, sort_documents
from webhook.offline.judge import Judged, judge
from webhook.policy.explanation import explain_pod, explain_resource, summary
from webhook.policy.wording import levels_in_words, with_runbook
from webhook.settings import Settings, SettingsError
from webhook.yaml_output import as_yaml

_COLOURS = {"+": "\033[32m", "-": "\033[31m", "@": "\033[36m"}
_JUDGED = "no Pod, no resource of the operator and no AdmissionReview"
_PODS_ONLY = ("pod", "patch", "diff")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_files(parser, "AdmissionReviews, Pods, resources of the operator, Lists")
    parser.add_argument(
        "--objects", action="append", default=[], metavar="FILE", help="more objects of the cluster, not judged"
    )
    parser.add_argument(
        "--kubernetes-version",
        type=kubernetes_version,
        default=NEWEST_MINOR,
        metavar="VERSION",
        help=f"such as 1.30, v1.30.2, 1.24+ (default 1.{NEWEST_MINOR})",
    )
    parser.add_argument("--webhook", choices=("mutate", "validate"), help="default mutate for pods, else validate")
    parser.add_argument("-v", "--verbose", action="store_true", help="explain: a row for each change")
    parser.add_argument("-o", "--output", choices=("review", *_PODS_ONLY, "explain"), default="review")


def run(options: argparse.Namespace) -> int:
    """Decide and print; 1 when something is denied, 2 when an input cannot be judged."""
    if options.output in _PODS_ONLY and options.webhook == "validate":
        raise UsageError(
            f"vmguard review: --output {options.output} shows a patch, which --webhook validate never makes"
        )
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        raise UsageError(f"vmguard review: {error}") from None
    problems, files = ReadingProblems("review"), input_files(options, "review")
    found = sort_documents(read_each_file(files, problems.unreadable), problems.unusable)
    objects = facts_only(read_each_file(options.objects, problems.unreadable), problems.unusable)
    complete = bool(options.objects) or found.has_owners
    source = FileFacts((*objects, *found.facts), options.kubernetes_version, complete=complete)
    if not found.inputs and not problems.count:
        print(f"vmguard review: nothing to judge: {', '.join(files)} has {_JUDGED}", file=sys.stderr)
    judged = _judge_all(found.inputs, source, settings, options, problems)
    if options.output == "explain":
        print(summary([(item.input.kind, item.decision, item.looked_up) for item in judged]))
    if problems.count:
        return 2
    return 1 if any(not item.allowed for item in judged) else 0


def _judge_all(
    inputs: tuple[Input, ...],
    source: FactSource,
    settings: Settings,
    options: argparse.Namespace,
    problems: ReadingProblems,
) -> list[Judged]:
    judged: list[Judged] = []
    for item in inputs:
        try:
            result = judge(item, source, settings, options.webhook)
        except ReviewError as error:
            problems.unusable(f"{item.place}: {error}")
            continue
        judged.append(result)
        _print(result, options.output, verbose=options.verbose)
    return judged


def _print(result: Judged, output: str, *, verbose: bool) -> None:
    decision = result.decision
    if output == "review":
        sys.stdout.write(result.answer.decode() + "\n")
        return
    for warning in decision.warnings:
        print(f"Warning: {result.input.name}: {warning}", file=sys.stderr)
    if not result.allowed:
        print(f"Denied: {result.input.title}: {with_runbook(decision.message) or decision.refused}", file=sys.stderr)
    if output == "explain":
        title, verdicts = result.input.title, result.pod_security
        if verdicts:
            print(explain_pod(title, decision, result.looked_up, levels_in_words(*verdicts), verbose=verbose))
        else:
            print(explain_resource(title, decision))
    elif output == "patch":
        sys.stdout.write(msgspec.json.encode(decision.patch).decode() + "\n")
    elif output == "diff":
        sys.stdout.write(coloured(result.diff) if sys.stdout.isatty() else result.diff)
    elif result.pod is not None:
        sys.stdout.write("---\n" + as_yaml(result.pod))


def coloured(diff: str) -> str:
    """A diff with additions green, removals red and places blue, for a terminal."""
    lines = (
        f"{_COLOURS[line[0]]}{line}\033[0m" if line[:1] in _COLOURS and not line.startswith(("+++", "---")) else line
        for line in diff.split("\n")
    )
    return "\n".join(lines)
