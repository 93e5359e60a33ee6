"""The table of security context fields as text, for `vmguard explain security-context` and docs/rules.md. Pure text."""

from collections.abc import Iterator

from webhook.policy.context_fields import FIELDS, ContextField, LeftAlone
from webhook.policy.wording import as_json

_HEAD = ("Field", "Of", "Strict value", "Also accepted", "Why no other value", "Since", "Notes")


def context_table() -> list[str]:
    """The lines of a Markdown table, one for each field, with the columns padded."""
    rows = [_HEAD, *map(_cells, FIELDS)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows]


def _cells(row: ContextField) -> tuple[str, ...]:
    return (
        row.name.replace("/", "."),
        ", ".join(row.levels),
        "left alone" if type(row.strict) is LeftAlone else as_json(row.strict),
        row.accepted.text,
        row.danger,
        f"1.{row.since}" if row.since else "",
        "; ".join(_notes(row)),
    )


def _notes(row: ContextField) -> Iterator[str]:
    if type(row.strict) is LeftAlone:
        yield row.strict.because
    if row.filled:
        yield f"filled on the {' and '.join(row.filled)} only"
    if row.runs_as:
        yield "not filled on the pod of a DaemonSet"
    if row.platform:
        yield "not filled with VMGUARD_RUN_AS=platform"
    if row.windows:
        yield "also for Windows pods"
    if row.annotation:
        yield "its annotation counts too" + (f" below 1.{row.annotation.until}" if row.annotation.until else "")
