"""The report of an audit as one HTML page that loads nothing, for people who would rather look than read.

Every text of the report is hostile: any user who may create a pod chooses it. Jinja2 escapes each expression, and
`_fit` replaces the characters that would change how the text around them is shown. The page's policy allows its own
style and script, by their hashes, and nothing else. Equal workloads share a row, and equal changes are shown once.
"""

import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from webhook.audit.report import MEANING, VERDICTS, AuditedWorkload, AuditReport, AuditVerdict
from webhook.offline.reply import LEVELS, PodChange
from webhook.text import printable

MOST_BYTES = 5_000_000
"""The page is at most this long where the rows themselves are not longer. Details that do not fit are left out."""

LONGEST_DETAIL = 200_000
"""Bytes of the changes of one row, or of its diff. A longer one is left out, so that it takes no room of the others."""

_FOLDER = Path(__file__).parent
_ROW_BYTES = 500
"""Bytes of the markup of a row, without the texts of the report in it."""

_MOST_REPEATED = 200_000
"""Bytes that equal changes of several rows may take more than once. Beyond that the page has them once, with links."""

_NUMBERS: tuple[tuple[str, str, tuple[AuditVerdict, ...]], ...] = (
    ("stop", "would be denied or break", ("DENIED", "BREAKS")),
    ("look", "need a look", ("CHECK", "unknown")),
    ("fine", "need nothing from you", ("changes", "ok")),
)
"""The three numbers on top: their class, their label, and the verdicts that they count."""


@dataclass(frozen=True, slots=True)
class _ChangeGroup:
    """Changes by one rule, of one source and for one reason."""

    rule: str
    source: str
    why: str
    changes: Sequence[PodChange]


@dataclass(slots=True)
class _Details:
    """The changes and the diff of one or several rows; the page has them once where they are `shared`.

    `groups` and `diff` are empty where the workload has none, and where there was no room.
    """

    first: AuditedWorkload
    rows: int = 0
    shared: bool = False
    groups: Sequence[_ChangeGroup] = ()
    diff: str = ""

    @property
    def left_out(self) -> bool:
        """Whether a part is missing because there was no room."""
        return bool(self.first.changes and not self.groups) or bool(self.first.diff and not self.diff)


@dataclass(slots=True)
class _Row:
    """Workloads that are equal apart from their names; `first` is the one that is shown."""

    details: _Details
    members: list[AuditedWorkload] = field(default_factory=list)
    left_out: bool = False

    @property
    def first(self) -> AuditedWorkload:
        return self.members[0]

    @property
    def pods(self) -> int:
        return sum(each.pods for each in self.members)

    def among(self, name: str) -> list[str]:
        """The clusters or namespaces of the workloads, each once."""
        return sorted({getattr(each, name) for each in self.members})


def as_html(report: AuditReport) -> str:
    """The page, as text to be written in UTF-8."""
    rows = _rows(report.workloads)
    details = _fill(report, rows)
    style, script = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fit,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = _as_json
    environment.filters["diff_parts"] = _diff_parts
    verdicts = Counter(each.verdict for each in report.workloads)
    return environment.get_template("report.html.j2").render(
        report=report,
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        incomplete=not report.complete or bool(report.missing or report.not_judged or verdicts["unknown"]),
        numbers=[(name, label, [(each, verdicts[each]) for each in counted]) for name, label, counted in _NUMBERS],
        levels=_levels(report.workloads),
        groups=[(verdict, [row for row in rows if row.first.verdict == verdict]) for verdict in VERDICTS],
        meaning=MEANING,
        verdicts=verdicts,
        shared=[each for each in details if each.shared],
        left_out=any(row.left_out or row.details.left_out for row in rows),
        several=len(report.clusters) > 1,
        namespaces=sorted({each.namespace for each in report.workloads}),
        could_be_restricted=[each for each in report.namespaces if each.could_enforce == "restricted"],
    )


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy of the page: its own style and script, and nothing else."""
    hashed = {
        f"{name}-src": f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
        for name, text in (("style", style), ("script", script))
    }
    return "; ".join(
        f"{name} {value}"
        for name, value in {"default-src": "'none'", **hashed, "base-uri": "'none'", "form-action": "'none'"}.items()
    )


def _fit(value: Any) -> Any:
    """A value as text in which no character but line ends and tabs is invisible or turns the direction of others."""
    if isinstance(value, Markup):
        return value
    text = str(value)
    if text.isprintable():
        return text
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _rows(workloads: Iterable[AuditedWorkload]) -> list[_Row]:
    """Rows in the order of the workloads, those that are equal apart from names as one row."""
    rows: dict[tuple[Any, ...], _Row] = {}
    details: dict[str, _Details] = {}
    for each in workloads:
        changes = _without_names(each, map(_key, each.changes))
        reasons = [f"{one.id}\0{one.verdict}\0{one.text}\0{one.fix}\0{one.command}" for one in each.findings]
        key = (
            *(each.verdict, each.level_now, each.level_after, each.kind, each.component, each.controller),
            *(each.based_on, changes),
            _without_names(each, (each.first_reason, *each.not_restricted, "", *reasons)),
        )
        if (row := rows.get(key)) is None:
            shown = changes + _without_names(each, ("", each.diff))
            row = rows[key] = _Row(details.setdefault(shown, _Details(each)))
            row.details.rows += 1
        row.members.append(each)
    return list(rows.values())


def _without_names(of: AuditedWorkload, texts: Iterable[str]) -> str:
    """The texts as one, with a mark in the place of the workload's own name and namespace.

    A name of digits only stays, as a number may be a user or a size.
    """
    names = "|".join(re.escape(name) for name in (of.name, of.namespace) if name and not name.isdigit())
    text = "\0\0".join(texts)
    return re.sub(rf"(?<![a-z0-9])(?:{names})(?![a-z0-9])", "\0", text) if names else text


def _key(change: PodChange) -> str:
    return "\0".join((change.rule, change.op, change.path, _as_json(change.value), change.why, change.source))


def _fill(report: AuditReport, rows: Sequence[_Row]) -> list[_Details]:
    """Fill the rows as far as there is room: findings first, then changes, then diffs; the details are returned."""
    room = (
        MOST_BYTES
        - 60_000
        - sum(_size(each.name, each.coverage, each.cluster, each.why_not_known) + 150 for each in report.namespaces)
    )
    room -= sum(_size(each.namespace, each.what, each.rule, each.cluster) + 160 for each in report.missing)
    room -= sum(_size(each.namespace, each.why, each.cluster) + 80 for each in report.not_judged)
    for row in rows:
        room -= _ROW_BYTES + _size(row.first.first_reason)
        listed = 80 if len(row.members) > 1 else 0
        room -= sum(_size(each.namespace, each.namespace, each.title, each.cluster) + listed for each in row.members)
    for row in rows:
        size = sum(_size(each.text, each.id, each.fix, each.command) + 260 for each in row.first.findings)
        size += sum(_size(each) + 30 for each in row.first.not_restricted)
        row.left_out = size > room
        room -= 0 if row.left_out else size
    found = list({id(row.details): row.details for row in rows}.values())
    for details in found:
        groups = [
            _ChangeGroup(*key, tuple(changes))
            for key, changes in groupby(details.first.changes, lambda change: (change.rule, change.source, change.why))
        ]
        size = sum(_size(each.rule, each.source, each.why) + 120 for each in groups)
        size += sum(_size(each.path, _as_json(each.value)) + 60 for each in details.first.changes)
        of_diff = _size(details.first.diff) + 12 * details.first.diff.count("\n")
        details.shared = details.rows > 1 and (size + of_diff) * (details.rows - 1) > _MOST_REPEATED
        copies = 1 if details.shared else details.rows
        if size <= min(room // copies, LONGEST_DETAIL):
            details.groups = groups
            room -= size * copies
    for details in found:
        copies = 1 if details.shared else details.rows
        size = _size(details.first.diff) + 12 * details.first.diff.count("\n")
        if size <= min(room // copies, LONGEST_DETAIL):
            details.diff = details.first.diff
            room -= size * copies
    return found


def _size(*texts: str) -> int:
    """The bytes of texts on the page."""
    return sum(len(escape(_fit(text)).encode()) for text in texts)


def _levels(workloads: Sequence[AuditedWorkload]) -> list[tuple[str, list[tuple[str, int, str]]]]:
    """The levels, the strictest first, each with when, how many workloads have it then, and their share in per cent."""
    now, after = (Counter(getattr(each, name) for each in workloads) for name in ("level_now", "level_after"))
    total = len(workloads) or 1
    return [
        (level, [(when, counts[level], f"{100 * counts[level] / total:.1f}") for when, counts in times])
        for level in reversed(LEVELS)
        for times in ((("now", now), ("after", after)),)
    ]


def _diff_parts(diff: str) -> list[tuple[str, str]]:
    """Lines of a diff that belong together, with their element: `ins`, `del`, `b` for a place, "" for others."""
    elements = {"+": "ins", "-": "del", "@": "b"}
    parts = groupby(diff.removesuffix("\n").split("\n"), lambda line: elements.get(line[:1], ""))
    return [(element, "\n".join(lines)) for element, lines in parts]
