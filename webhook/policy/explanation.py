"""A decision in words: what changes, why, which setting requires it, and what to do. Pure text."""

from collections.abc import Sequence

from webhook.facts import Absent
from webhook.policy.decide import PODS_DENIED, Decision, PredictedLevels, makes_no_pods, why_ignored
from webhook.policy.findings import Change, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.wording import as_json, complaint, dotted
from webhook.policy.workload import Link, UnknownKind, UnknownOwner, Unmanaged, Workload
from webhook.text import one_line, printable

_NOT_GIVEN = Absent("file")
_WIDEST = 48
_WIDEST_CELL = 200
_IN_CONTAINER = ("/spec/containers/", "/spec/initContainers/")
_HEAD = ("RULE", "CHANGE", "PATH", "VALUE", "SET BY")
_WANTED = ("RULE", "WANTED", "PATH", "VALUE", "SET BY")
_CHANGING = frozenset({"patched", "would-patch"})


def explain_pod(
    title: str, decision: Decision, looked_up: Sequence[Link], pod_security: str, *, verbose: bool = False
) -> str:
    """The text for one pod; `pod_security` is its verdict in words. Nothing is wrapped.

    With `verbose` each change has a row; without, those of one container and group of fields have one row together.
    """
    lines = [title]
    identity = decision.identity
    if not isinstance(identity, Workload):
        lines += [f"  owner       {_owner(decision)}", f"  standard    {pod_security}"]
        lines.append(f"  decision    {_verdict(decision)}")
        return _text(lines + _warnings(decision))
    chain = " > ".join(f"{link.ref.kind} {link.ref.name}" for link in looked_up if link.ref.uid)
    found = f"by its owners: {chain}" if chain else "by its labels"
    lines.append(f"  owner       {identity}, component {identity.component.name}, found {found}")
    lines += _posture(decision.postures[0])
    lines.append(f"  standard    {pod_security}")
    lines.append(f"  decision    {_verdict(decision)}")
    if decision.changes:
        head = _HEAD if decision.outcome in _CHANGING else _WANTED
        rows = map(_row, decision.changes) if verbose else _folded(decision.changes)
        lines += ["", *_table([head, *rows])]
    if decision.violations:
        lines += ["", "  Needs manual changes:"]
        lines += [f"    {complaint(violation)} [{violation.rule}]" for violation in decision.violations]
    lines += _warnings(decision)
    advice = _advice(decision, identity)
    if advice:
        lines += ["", "  What to do:", *(f"    {line}" for line in advice)]
    return _text(lines)


def _owner(decision: Decision) -> str:
    """Why a pod was not judged by a resource."""
    identity = decision.identity
    if isinstance(identity, UnknownKind):
        return f"unknown kind: {identity.owner}"
    if isinstance(identity, Unmanaged):
        return f"unmanaged: {identity.reason}"
    if isinstance(identity, UnknownOwner):
        return f"not known: {identity.reason}"
    return f"not judged: {why_ignored(decision)}"


def explain_resource(title: str, decision: Decision) -> str:
    """The text for one custom resource: the posture of each component that it has."""
    lines = [title]
    if decision.postures:
        predicted_levels = decision.predicted_levels or (None,) * len(decision.postures)
        rows = [
            (
                p.title,
                p.security_context,
                str(p.context_setting),
                p.api_access,
                str(p.api_setting),
                _pods(of, decision),
                _levels(of),
            )
            for p, of in zip(decision.postures, predicted_levels, strict=True)
        ]
        head = ("COMPONENT", "SECURITY CONTEXT", "SET BY", "API ACCESS", "SET BY", "PODS", "POD SECURITY")
        lines += _table([head, *rows])
    elif decision.outcome in {"unchanged", "ignored"}:
        why = "makes no pods of its own" if makes_no_pods(decision) else f"not judged: {why_ignored(decision)}"
        lines.append(f"  {why}")
    lines.append(f"  decision    {_verdict(decision)}")
    lines += _warnings(decision)
    return _text(lines)


def _pods(levels: PredictedLevels | None, decision: Decision) -> str:
    """What vmguard does with the pods of a component when they are created."""
    if levels is None:
        return "not judged"
    changes = _count(levels.changes, "change") if levels.changes else "no change"
    if not levels.violations:
        return changes
    denied = any(type(finding) is Warn and finding.text.startswith(PODS_DENIED) for finding in decision.findings)
    return f"{'denied' if denied else changes}, {levels.violations} to correct by hand"


def _levels(levels: PredictedLevels | None) -> str:
    if levels is None:
        return "not judged"
    before, after = levels.before.level, levels.after.level
    return f"{after}" if before == after else f"{after} ({before} before)"


def summary(decisions: Sequence[tuple[str, Decision, Sequence[Link]]]) -> str:
    """The last line for inputs by kind, decision and facts: the number of inputs, and the results."""
    pods = [decision for kind, decision, _ in decisions if kind == "Pod"]
    others = [decision for kind, decision, _ in decisions if kind != "Pod"]
    parts = []
    if pods:
        changed = sum(1 for decision in pods if decision.outcome in _CHANGING)
        parts.append(f"{_count(len(pods), 'pod')}: {changed} would change, {len(pods) - changed} would not")
        asked = [looked_up for kind, _, looked_up in decisions if kind == "Pod"]
        missing = sorted({kind for looked_up in asked for kind in _not_given(looked_up)})
        if missing:
            parts.append(f"not judged whole, as owners were not given: {', '.join(missing)}")
    if others:
        parts.append(_count(len(others), "resource"))
    manual = sum(_to_correct(decision) for _, decision, _ in decisions)
    denied = sum(1 for _, decision, _ in decisions if decision.denies)
    return f"Summary: {'; '.join(parts) or 'nothing to judge'}; {manual} need manual changes; {denied} denied"


def _to_correct(decision: Decision) -> int:
    """Manual changes that a pod, or a resource or its pods, need: violations, and what keeps a container from running.

    What is wrong with a resource that is denied is counted once.
    """
    warnings = [finding for finding in decision.findings if type(finding) is Warn]
    of_pods = sum(warning.noncompliant for warning in warnings)
    return (len(decision.violations) or of_pods) + sum(warning.fatal for warning in warnings)


def _not_given(looked_up: Sequence[Link]) -> list[str]:
    """Kinds of the owners that a pod names and that were not among the objects given."""
    return [link.ref.kind for link in looked_up if link.fact == _NOT_GIVEN and link.ref.uid]


def _posture(posture: Posture) -> list[str]:
    return [
        f"  security    {posture.security_context}, set by {posture.context_setting}",
        f"  API access  {posture.api_access}, set by {posture.api_setting}",
    ]


def _verdict(decision: Decision) -> str:
    told = decision.annotations.get("decision", "")
    findings = len(decision.changes) + len(decision.violations)
    if decision.outcome == "unknown-kind" and decision.identity is None:
        return "not judged: the operator has no such kind, as far as this version of vmguard knows"
    text = {
        "warned": f"allowed, but not compliant: {_count(findings, 'finding')}"
        if decision.identity
        else f"allowed, with {_count(len(decision.warnings), 'warning')}",
        "patched": f"allowed, patched: {_count(len(decision.changes), 'change')}",
        "would-patch": f"allowed as it is (audit mode); would be patched: {_count(len(decision.changes), 'change')}",
        "would-deny": f"allowed (audit mode); would be denied: {told.removeprefix('would-deny: ')}",
        "denied": f"denied: {decision.message}",
        "refused": f"refused with HTTP 500: {decision.refused}",
        "unknown-kind": "allowed, not secured: this version of vmguard does not know the kind",
    }
    return text.get(decision.outcome, "allowed, nothing changes")


def _row(change: Change) -> tuple[str, ...]:
    edit = change.edit
    path = dotted(edit.path) + ("[+]" if edit.path.endswith("/-") else "")
    return (change.rule, edit.op, path, as_json(edit.value, _WIDEST) if edit.op == "add" else "", change.source)


def _folded(changes: Sequence[Change]) -> list[tuple[str, ...]]:
    """A row for each group of fields of the pod and of each container; the values are those of the fields in it."""
    groups: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        edit = change.edit
        depth = 4 if edit.path.startswith(_IN_CONTAINER) else 2
        path = "/".join(edit.path.split("/")[: depth + 1])
        groups.setdefault((change.rule, edit.op, path, change.source), []).append(change)
    rows = []
    for (rule, op, path, source), group in groups.items():
        if len(group) == 1:
            rows.append(_row(group[0]))
            continue
        fields = [
            f"{dotted(each.edit.path.removeprefix(path))}"
            + (f"={as_json(each.edit.value, _WIDEST)}" if op == "add" else "")
            for each in group
        ]
        rows.append((rule, op, dotted(path), ", ".join(fields), source))
    return rows


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    rows = [tuple(one_line(cell, _WIDEST_CELL) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _warnings(decision: Decision) -> list[str]:
    shown = {f"{complaint(violation)} [{violation.rule}]" for violation in decision.violations}
    texts = [warning for warning in decision.warnings if warning not in shown]
    return ["", "  Worth knowing:", *(f"    {text}" for text in texts)] if texts else []


def _advice(decision: Decision, workload: Workload) -> list[str]:
    posture, advice = decision.postures[0], []
    rules = {finding.rule for finding in decision.findings if isinstance(finding, Change | Violation)}
    path = ".".join(workload.component.path)
    applied = str(workload)
    if workload.parentage.layers:  # the operator overwrites the child with the parent's fields
        place = ".".join((workload.parentage.layers[0][0], *workload.component.path[1:]))
        applied, _, path = place.rpartition(" ")
    if decision.violations:
        advice.append(
            f"correct the fields above in {applied}, or in the webhook that sets them; then delete the pod if it runs: "
            "its controller creates it again"
        )
    if "security-context" in rules and posture.security_context == "strict":
        if "." not in posture.context_setting.place:  # an environment variable, so the resource itself sets nothing
            advice.append(f"to let the operator set these values itself: {applied} {path}.useStrictSecurity: true")
        place = path if applied == str(workload) else f"{applied} {path}"
        advice.append(f"to differ: write {place}.securityContext; an empty one opts out")
    return advice


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _text(lines: list[str]) -> str:
    """The lines as text; a text from a user's object stays on its line."""
    return "\n".join(printable(line).rstrip() for line in lines) + "\n"
