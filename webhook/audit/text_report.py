"""An audit's report as text: the table, the wide table, and the diff of every workload. Pure."""

from collections.abc import Iterable, Iterator

from webhook.audit.report import VERDICTS, AuditedWorkload, AuditReport, AuditVerdict
from webhook.text import one_line, printable

_WIDEST_REASON = 110
_WIDEST = 400
_MOST_NAMED = 20

_COUNTED: dict[AuditVerdict, tuple[str, str]] = {
    "DENIED": ("would be denied", "would be denied"),
    "BREAKS": ("breaks", "break"),
    "CHECK": ("needs a check", "need a check"),
    "changes": ("changes", "change"),
    "ok": ("needs nothing", "need nothing"),
    "unknown": ("is unknown", "are unknown"),
}


def as_table(report: AuditReport, *, wide: bool = False) -> str:
    """The table, its summary, and what was not judged; with `wide` whole reasons and more columns."""
    lines = list(_rows(report, wide=wide)) if report.workloads else ["No pods and no resources of the operator found."]
    if not wide and any(len(each.first_reason) > _WIDEST_REASON for each in report.workloads):
        lines += ["", "A reason that ends with … is whole in -o wide."]
    return "\n".join(printable(line).rstrip() for line in [*lines, "", *_footer(report)]) + "\n"


def as_diff(report: AuditReport) -> str:
    """The diff of each workload that changes, below a line that names it."""
    parts = []
    for each in report.workloads:
        if each.diff:
            cluster = f"{each.cluster}: " if len(report.clusters) > 1 else ""
            head = f"# {cluster}{each.namespace} {each.title}: {each.verdict}, {each.pods} pods"
            parts.append("\n".join(map(printable, (one_line(head, _WIDEST), *each.diff.splitlines()))) + "\n")
    return "\n".join(parts)


def _rows(report: AuditReport, *, wide: bool) -> Iterator[str]:
    several = len(report.clusters) > 1
    head = ["CLUSTER"] if several else []
    head += ["NAMESPACE", "WORKLOAD", "PODS", "LEVEL NOW → AFTER", "CHANGES", "VERDICT"]
    head += ["CONTROLLER", "PARENT", "BASED ON"] if wide else []
    table = [head, *(_cells(each, several=several, wide=wide) for each in report.workloads)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    reasons = ["FIRST REASON", *(one_line(each.first_reason, _longest(wide=wide)) for each in report.workloads)]
    right = {"PODS", "CHANGES"}
    for row, reason in zip(table, reasons, strict=True):
        cells = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        )
        yield "  ".join((*cells, reason))


def _longest(*, wide: bool) -> int:
    return _WIDEST if wide else _WIDEST_REASON


def _cells(each: AuditedWorkload, *, several: bool, wide: bool) -> list[str]:
    cells = [each.cluster] if several else []
    levels = f"{each.level_now} → {each.level_after}"
    cells += [each.namespace, each.title, str(each.pods), levels, str(len(each.changes) or ""), each.verdict]
    cells += [each.controller, each.parent, each.based_on] if wide else []
    return [one_line(cell, _WIDEST) for cell in cells]


def _footer(report: AuditReport) -> Iterator[str]:
    summary = report.summary
    counts = [
        f"{count} {_COUNTED[verdict][count != 1]}"
        for verdict in VERDICTS
        if (count := summary.verdicts.get(verdict, 0))
    ]
    pods, workloads = _count(summary.pods, "pod"), _count(summary.workloads, "workload")
    listed = f": {', '.join(counts)}" if counts else ""
    yield f"{pods} of {workloads}{listed}. Running pods change only when they are recreated."
    could = [
        _named(report, each.cluster, each.name) for each in report.namespaces if each.could_enforce == "restricted"
    ]
    if could:
        yield f'Namespaces that could enforce "restricted" afterwards: {_first(could)}'
    for why in sorted({each.why_not_known for each in report.namespaces} - {""}):
        which = [_named(report, each.cluster, each.name) for each in report.namespaces if each.why_not_known == why]
        yield f"What these could enforce is not known ({one_line(why, _WIDEST)}): {_first(which)}"
    for missed in report.not_judged:
        what = _count(missed.pods, "pod") if missed.pods else "resources" if missed.namespace else "objects"
        where = f" in {_named(report, missed.cluster, missed.namespace)}" if missed.namespace else ""
        yield f"Not judged: {what}{where} ({one_line(missed.why, _WIDEST)})"
    for lacking in report.missing:
        where = f"{lacking.cluster}: " if len(report.clusters) > 1 else ""
        rule = f"; add the rule {lacking.rule}" if lacking.rule else ""
        yield f"Not read: {where}{one_line(lacking.what, _WIDEST)}{rule}"
    if not report.complete:
        yield "This audit is not complete: what was not judged is not counted as ok."


def _named(report: AuditReport, cluster: str, namespace: str) -> str:
    return f"{cluster}/{namespace}" if len(report.clusters) > 1 else namespace


def _first(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return ", ".join(listed[:_MOST_NAMED]) + more


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
