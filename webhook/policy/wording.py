"""Findings, postures and facts in words: lines for warnings, messages, audit annotations and the log. Pure text."""

import re
from collections.abc import Sequence

import msgspec

from webhook.podsecurity import Verdict
from webhook.policy.findings import Change, Finding, Violation
from webhook.policy.posture import Posture
from webhook.policy.workload import Link
from webhook.text import one_line, quoted

DOCS = "https://github.com/vmguard/vmguard/blob/main/docs/"
"""The address of the documentation."""

RUNBOOK = f"{DOCS}troubleshooting.md#vmguard-denied-it"
"""The section on what to do after a denial."""

MOST_TOLD = 5
"""Most findings that a message or a log line lists."""

LONGEST_WARNING = 500
"""Most characters of a warning."""

_SEGMENT = re.compile(r"[A-Za-z0-9~._-]{1,100}")
"""A segment of a JSON pointer that `places_of` repeats: a field, an index, or the key of an annotation."""

_LARGEST_LIST = 4096
_LONGEST_VALUE = 300
_LONGEST_PLACE = 250
"""Most characters of the place of a violation in the log."""

_LONGEST_TITLE = 200
_POSTURES = 30
"""Most postures of one resource in an annotation; a parent may have hundreds of pods."""


class Tally(msgspec.Struct, frozen=True):
    """The report on findings for metrics and log: their number by rule and kind, and the first violations."""

    counts: tuple[tuple[tuple[str, str], int], ...] = ()
    violations: tuple[str, ...] = ()


def tally_of(findings: tuple[Finding, ...]) -> Tally:
    """The tally of a decision's findings."""
    counts: dict[tuple[str, str], int] = {}
    for finding in findings:
        labels = finding.rule, finding.kind
        counts[labels] = counts.get(labels, 0) + 1
    violations = [finding for finding in findings if isinstance(finding, Violation)][:MOST_TOLD]
    return Tally(tuple(counts.items()), tuple(map(_with_place, violations)))


def _with_place(violation: Violation) -> str:
    """The field of a violation, its container and the reason, in at most LONGEST_WARNING characters."""
    place = dotted(violation.path) if violation.path.startswith("/") else violation.path
    if violation.container:
        place = f"{place} (container {quoted(violation.container)})"
    place = one_line(place, _LONGEST_PLACE)
    return one_line(f"{place}: {violation.why}" if place else violation.why, LONGEST_WARNING)


def with_runbook(message: str) -> str:
    """The message of a denial for a client, with the address of its runbook; "" if nothing is denied."""
    return f"{message} (what to do: {RUNBOOK})" if message else ""


def not_compliant(left: list[Change | Violation]) -> str:
    """One line that lists all findings of a noncompliant pod."""
    listed = "; ".join(
        f"{dotted(f.edit.path)} is not {as_json(f.edit.value) if f.edit.op == 'add' else 'removed'} ({f.source})"
        if isinstance(f, Change)
        else complaint(f)
        for f in left[:MOST_TOLD]
    )
    more = f"; and {len(left) - MOST_TOLD} more" if len(left) > MOST_TOLD else ""
    return f"not compliant: {listed}{more}"


def places_of(left: Sequence[Change | Violation]) -> str:
    """One line with the path and the rule of each finding. It repeats no value, and no other text of an object."""
    places = dict.fromkeys(
        f"{_safe_path(f.edit.path if isinstance(f, Change) else f.path)} [{f.rule}]".lstrip() for f in left
    )
    listed = "; ".join(list(places)[:MOST_TOLD])
    more = f"; and {len(places) - MOST_TOLD} more" if len(places) > MOST_TOLD else ""
    return f"not compliant: {listed}{more}"


def _safe_path(path: str) -> str:
    """A JSON pointer in the form for people; a segment that is no valid key becomes `?`. Other text is dropped."""
    if not path.startswith("/"):
        return ""
    segments = path.removeprefix("/").split("/")
    return dotted("/".join(each if _SEGMENT.fullmatch(each) else "?" for each in segments))


def left_as_json(left: Sequence[Change | Violation]) -> str:
    """The findings as a JSON array of rule, path, wanted and found, of at most about 4 KiB.

    An array element that must be removed has `wanted` null and `found` "present". A long value becomes a shortened
    string. A last entry, `{"more": 3}`, counts what does not fit, so the most important findings come first.
    """
    entries: list[str] = []
    size = 0
    for index, finding in enumerate(left):
        if isinstance(finding, Change):
            path, wanted = finding.edit.path, finding.edit.value
            found = None if finding.edit.op == "add" else "present"
        else:
            path, wanted, found = finding.path, finding.wanted, finding.found
        entry = {"rule": finding.rule, "path": path, "wanted": _short_value(wanted), "found": _short_value(found)}
        text = msgspec.json.encode(entry).decode(errors="replace")
        size += len(text)
        if size > _LARGEST_LIST:
            entries.append(f'{{"more":{len(left) - index}}}')
            break
        entries.append(text)
    return f"[{','.join(entries)}]"


def _short_value(value: object) -> object:
    text = as_json(value, _LONGEST_VALUE)
    return value if len(text) < _LONGEST_VALUE else text


def warning_line(rule: str, text: str, longest: int = LONGEST_WARNING) -> str:
    """A warning in the form that the API server passes on: one line of `longest` characters with its rule id."""
    end = f" [{rule}]"
    return one_line(text, longest - len(end)) + end


def postures_line(postures: tuple[Posture, ...]) -> str:
    """The postures of a resource's components, the first of many."""
    told: list[str] = []
    size = 0
    for posture in postures[:_POSTURES]:
        line = f"{one_line(posture.title, _LONGEST_TITLE)}: {posture_line(posture)}"
        size += len(line)
        if size > _LARGEST_LIST:
            break
        told.append(line)
    more = len(postures) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def posture_line(posture: Posture) -> str:
    """The wanted posture of one component's pods, and the settings that require it."""
    line = f"{posture.security_context} ({posture.context_setting}), {posture.api_access} ({posture.api_setting})"
    return one_line(line, LONGEST_WARNING)


def rules_line(tally: Tally) -> str:
    """The number of findings of each rule, such as `security-context=13`."""
    counts: dict[str, int] = {}
    for (rule, _), count in tally.counts:
        counts[rule] = counts.get(rule, 0) + count
    return ", ".join(f"{rule}={count}" for rule, count in counts.items())


def levels_in_words(before: Verdict, after: Verdict, most: int | None = None) -> str:
    """Both Pod Security levels and the first `most` reasons why the second is not restricted; None for all reasons."""
    level = f"{after.level}" if before.level == after.level else f"{before.level} before, {after.level} after"
    reasons = [str(reason) for reason in after.reasons[:most]]
    if len(after.reasons) > len(reasons):
        reasons.append(f"and {len(after.reasons) - len(reasons)} more")
    return f"{level}; not restricted: {'; '.join(reasons)}" if reasons else level


def facts_line(looked_up: tuple[Link, ...]) -> str:
    """The lookups, with result, source and age in seconds."""
    return ", ".join(
        [
            f"{link.ref.kind}={fact.result}/{fact.source}/{fact.age:.1f}s"
            if (fact := link.fact).age
            else f"{link.ref.kind}={fact.result}/{fact.source}"
            for link in looked_up
        ]
    )


def dotted(path: str) -> str:
    """A JSON pointer as a path for people: `spec.containers[0].securityContext`."""
    out = ""
    for part in path.removeprefix("/").split("/"):
        plain = part.replace("~1", "/").replace("~0", "~")
        out += f"[{plain}]" if plain.isdigit() else f".{plain}" if plain != "-" else ""
    return out.removeprefix(".")


def complaint(violation: Violation, place: str = "") -> str:
    """What needs a manual change, in one line; `place` is where, when that is not the violation's path."""
    if violation.denies:
        return violation.why
    wanted = violation.wanted
    what = wanted if isinstance(wanted, str) else as_json(wanted)
    found = "not set" if violation.found is None else as_json(violation.found)
    return f"{place or dotted(violation.path)} is {found}, wanted {what}: {violation.why} ({violation.source})"


def as_json(value: object, widest: int = 80) -> str:
    """A value as JSON, cut after `widest` characters."""
    text = msgspec.json.encode(value).decode(errors="replace")
    return text if len(text) <= widest else f"{text[: widest - 1]}…"
