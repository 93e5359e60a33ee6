"""`vmguard audit`: what enforcing vmguard would change and break in a cluster. It writes nothing there."""

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from webhook.audit.audits import ASSUMED, ClusterAudit, Watcher, audit_cluster, audit_saved, report_of
from webhook.audit.collect import AuditScope
from webhook.audit.redacted import redacted
from webhook.audit.report import AuditReport
from webhook.audit.saved import ObjectFile, SavedObjects, read_saved
from webhook.audit.text_report import as_diff, as_table
from webhook.cli.arguments import add_cluster, kubernetes_version, label
from webhook.cli.usage import UsageError
from webhook.cluster.client import Client, NoClusterError, connected
from webhook.cluster.discovery import Discovery
from webhook.facts import NEWEST_MINOR
from webhook.offline.documents import DocumentError
from webhook.settings import SETTINGS, Settings, SettingsError
from webhook.telemetry.log import Log
from webhook.text import mismatch, one_line, quoted

QPS = 20.0
"""Requests a second to the API server."""

_ATTEMPTS = 3
_PAUSE = 2.0

FAILING: Mapping[str, frozenset[str]] = {
    "never": frozenset(),
    "breaks": frozenset({"DENIED", "BREAKS"}),
    "changes": frozenset({"DENIED", "BREAKS", "CHECK", "changes", "unknown"}),
}
"""The verdicts that end the command with status 1, by the value of --fail-on."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-A", "--all-namespaces", action="store_true", help="audit all namespaces")
    where.add_argument(
        "-n",
        "--namespace",
        action="append",
        type=label,
        default=[],
        metavar="NAMESPACE",
        help="audit this namespace; repeat for more; default that of the context",
    )
    parser.add_argument(
        "-l",
        "--selector",
        default="",
        metavar="SELECTOR",
        help="audit only running pods with these labels, and no resources without pods",
    )
    add_cluster(parser)
    parser.add_argument(
        "--qps",
        type=_rate,
        default=QPS,
        metavar="N",
        help=f"most requests a second to the API server; default {QPS:.0f}",
    )
    parser.add_argument("-o", "--output", choices=tuple(_OUTPUTS), default="table", help="default table")
    parser.add_argument("--output-file", metavar="FILE", help="write the report to this file; default standard output")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="assume this setting of vmguard instead of its default; repeat for more",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="create each predicted pod as a dry run, to see the result of other webhooks and policies",
    )
    parser.add_argument(
        "--fail-on", choices=tuple(FAILING), default="breaks", help="exit with 1 at these verdicts; default breaks"
    )
    parser.add_argument("--save", metavar="FILE", help="also write what the audit reads to this file, for --from")
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        metavar="FILE",
        help="audit the objects in a file instead of a cluster; repeat for more clusters; - is stdin",
    )
    parser.add_argument(
        "--kubernetes-version",
        type=kubernetes_version,
        default=NEWEST_MINOR,
        metavar="VERSION",
        help=f"with --from, for files without a version; default 1.{NEWEST_MINOR}",
    )
    parser.add_argument("--redact", action="store_true", help="replace names by hashes")


def run(options: argparse.Namespace) -> int:
    """Audit and print; 1 by --fail-on, 2 where something could not be read or judged."""
    _check(options)
    settings = _settings(options.set)
    if options.sources:
        audits = asyncio.run(_audit_files(options, settings))
    else:
        audits = [asyncio.run(_audit_live(options, settings))]
    report = report_of(audits, settings)
    if options.redact:
        report = redacted(report)
    _write(_OUTPUTS[options.output](report), options.output_file)
    if not report.complete:
        return 2
    return int(any(each.verdict in FAILING[options.fail_on] for each in report.workloads))


def _check(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other."""
    if options.sources:
        for name in ("verify", "save", "selector"):
            if getattr(options, name):
                raise UsageError(f"vmguard audit: --{name} needs a cluster; leave out --from")
    if options.save and options.redact:
        raise UsageError("vmguard audit: --redact does not reach --save: a saved file needs its names; use only one")
    for place in filter(None, (options.save, options.output_file)):
        if not Path(place).parent.is_dir():
            raise UsageError(f"vmguard audit: {place}: there is no such directory")


def _settings(assumed: list[str]) -> Settings:
    """The defaults with what is assumed; the environment of the command does not count."""
    texts: dict[str, str] = {}
    allowed = {SETTINGS[field].name for field in ASSUMED}
    for each in assumed:
        name, equals, value = each.partition("=")
        if not equals or name not in allowed:
            known = ", ".join(sorted(allowed))
            raise UsageError(f"vmguard audit: --set {quoted(each)}: write NAME=VALUE; names are {known}")
        texts[name] = value
    try:
        return Settings.from_environment(texts)
    except SettingsError as error:
        raise UsageError(f"vmguard audit: --set {error}") from None


async def _audit_live(options: argparse.Namespace, settings: Settings) -> ClusterAudit:
    try:
        async with connected(options.kubeconfig, (options.qps, options.qps), context=options.context) as client:
            discovery = Discovery(client, Log("error"))
            await _learn(discovery)
            scope = AuditScope(_namespaces(options, client), options.selector)
            with ExitStack() as files:
                saved = ObjectFile(files.enter_context(_private(options.save))) if options.save else None
                progress = _Progress()
                watcher = Watcher(progress.show, saved, options.output in _WITH_DIFFS)
                audit = await audit_cluster(client, discovery, scope, settings, watcher, verify=options.verify)
                progress.end()
                return audit
    except NoClusterError as error:
        raise UsageError(f"vmguard audit: {error.reason}: no cluster; see --kubeconfig, or --from") from None


def _namespaces(options: argparse.Namespace, client: Client) -> tuple[str, ...]:
    if options.all_namespaces:
        return ()
    return tuple(dict.fromkeys(options.namespace)) or (client.namespace,)


async def _learn(discovery: Discovery) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        trouble = await discovery.learn_once()
        if not trouble:
            return
        if attempt < _ATTEMPTS:
            await asyncio.sleep(_PAUSE)
    raise UsageError(f"vmguard audit: the cluster cannot be read: {one_line(trouble, 500)}")


async def _audit_files(options: argparse.Namespace, settings: Settings) -> list[ClusterAudit]:
    audits = []
    diffs = options.output in _WITH_DIFFS
    for source in options.sources:
        shown = "stdin" if source == "-" else source
        saved = _read(source, shown)
        scope = AuditScope(tuple(dict.fromkeys(options.namespace)))
        stems = [Path(each).stem for each in options.sources]
        name = shown if source == "-" or stems.count(Path(source).stem) > 1 else Path(source).stem
        try:
            audits.append(await audit_saved(saved, name, options.kubernetes_version, scope, settings, diffs=diffs))
        except msgspec.ValidationError as error:
            raise UsageError(f"vmguard audit: {shown}: {one_line(mismatch(error), 500)}") from None
    return audits


def _read(source: str, shown: str) -> SavedObjects:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"vmguard audit: {shown}: {error.strerror or error}") from None
    try:
        return read_saved(data)
    except (DocumentError, ValueError) as error:
        raise UsageError(f"vmguard audit: {shown}: {one_line(error, 500)}") from None


def _private(place: str) -> Any:
    """A new file that its owner alone can read: it says how a cluster is built."""
    try:
        opened = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        os.fchmod(opened, 0o600)
        return os.fdopen(opened, "wb")
    except OSError as error:
        raise UsageError(f"vmguard audit: {place}: {error.strerror or error}") from None


def _write(text: str, place: str | None) -> None:
    if place is None:
        sys.stdout.write(text)
        return
    try:
        Path(place).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"vmguard audit: {place}: {error.strerror or error}") from None


def _as_json(report: AuditReport) -> str:
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def _as_html(report: AuditReport) -> str:
    text: str = importlib.import_module("webhook.audit.html_report").as_html(report)
    return text


_OUTPUTS: Mapping[str, Callable[[AuditReport], str]] = {
    "table": as_table,
    "wide": lambda report: as_table(report, wide=True),
    "json": _as_json,
    "html": _as_html,
    "diff": as_diff,
}


_WITH_DIFFS = frozenset({"json", "html", "diff"})
"""Outputs that show a diff of each workload."""


class _Progress:
    """One line on standard error that is written over, where that is a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Write the line again."""
        if self._shown:
            print(f"\r\033[Kvmguard audit: {text}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 10_000:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number above 0")
    return value
