"""From findings to a decision: the patch, the denial, the warnings, and the annotations.

Validation uses the same rules: a pod is noncompliant when any change or violation is left. In audit mode vmguard
patches and denies nothing. The annotations and `findings` have what it would do, and a user whom it would deny gets a
warning.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from webhook.admission.patch import Operation, build, encoded
from webhook.podsecurity import Verdict
from webhook.policy.enforcement import EXEMPT, EXEMPT_VALUE, Enforce
from webhook.policy.field_types import WrongType
from webhook.policy.findings import Change, Finding, Violation, Warn
from webhook.policy.placed_fix import PlacedFix
from webhook.policy.posture import Posture
from webhook.policy.rules import IDS
from webhook.policy.wording import (
    LONGEST_WARNING,
    MOST_TOLD,
    Tally,
    complaint,
    left_as_json,
    not_compliant,
    posture_line,
    rules_line,
    tally_of,
    warning_line,
)
from webhook.policy.workload import Identity, UnknownKind, UnknownOwner, Unmanaged, Workload
from webhook.settings import Settings
from webhook.text import one_line

Webhook = Literal["mutate", "validate"]
Outcome = Literal[
    "ignored",
    "unmanaged",
    "unchanged",
    "patched",
    "warned",
    "denied",
    "unknown",
    "unknown-kind",
    "refused",
    "would-patch",
    "would-deny",
]

_LONGEST_MESSAGE = 2000

_WAYS_AROUND = (
    f"if the pod must run before that is corrected, label its namespace {EXEMPT}={EXEMPT_VALUE}: vmguard then neither "
    "fills nor denies pods there; VMGUARD_UNKNOWN=allow would admit such pods in all namespaces, also noncompliant ones"
)
"""What admits a pod that vmguard cannot judge, and what it costs; the narrower way comes first."""

PODS_DENIED = "pods will be denied: "
"""The beginning of a warning on a resource whose pods vmguard will deny."""

_MOST_WARNINGS = 20
_LONGEST_OF_MANY = 256
"""Most characters of each warning where all together are too large; one alone may end with a command to copy."""

_LARGEST_UNCUT = 2048
"""Most characters of all warnings that are longer than that: the API server cuts none, even if others warn as much."""

_LARGEST_TOGETHER = 3840
"""Most characters of all warnings. With more than 4,096, an API server cuts each warning after 256, and drops the last
ones; other webhooks may also warn."""


class Flaw(msgspec.Struct, frozen=True):
    """A finding of a decision on a resource, and its fix for one component, to copy."""

    finding: Violation | Warn
    fix: PlacedFix


class PredictedLevels(msgspec.Struct, frozen=True):
    """The Pod Security verdicts on the pods of a component: without vmguard, and as admitted.

    `changes` is the number of fields that vmguard fills in each pod, `violations` the number of needed manual changes.
    `flaws` are the findings on such a pod, with their fixes.
    """

    who: str
    before: Verdict
    after: Verdict
    changes: int = 0
    violations: int = 0
    flaws: tuple[Flaw, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """The answer and its reasons.

    `refused` is the reason to answer with HTTP 500 instead, "" for an answer. The decision does not contain its facts,
    because their ages differ between equal decisions.
    `encoded_patch` is `patch` in the form of the response, and `tally` is of `findings`. Both are made once, because
    vmguard reports a cached decision for many pods.
    `predicted_levels` has, for a custom resource, one for each of `postures`, None if the pods were not judged.
    `deniable` is true for an allowed pod that `enforce: deny` would deny.
    """

    outcome: Outcome
    allowed: bool = True
    message: str = ""
    patch: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    findings: tuple[Finding, ...] = ()
    identity: Identity | None = None
    postures: tuple[Posture, ...] = ()
    predicted_levels: tuple[PredictedLevels | None, ...] = ()
    refused: str = ""
    deniable: bool = False
    encoded_patch: str = ""
    tally: Tally = Tally()

    def __post_init__(self) -> None:
        """Refuse a decision whose answer would lack its patch.

        Raises:
            ValueError: `patch` has operations and `encoded_patch` has none, or the reverse.

        """
        if bool(self.patch) != bool(self.encoded_patch):
            raise ValueError("encoded_patch must be the encoded form of patch")

    @property
    def denies(self) -> bool:
        """Whether it denies, or would deny outside a trial."""
        return self.outcome in {"denied", "would-deny"}

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(finding for finding in self.findings if type(finding) is Change)

    @property
    def violations(self) -> tuple[Violation, ...]:
        return tuple(finding for finding in self.findings if type(finding) is Violation)


_IGNORED = "ignored: "
_OTHER_KIND = "kind "


def ignored(reason: str) -> Decision:
    """The decision on an object that vmguard does not judge: allowed, no patch."""
    return Decision("ignored", annotations={"decision": one_line(f"{_IGNORED}{reason}", LONGEST_WARNING)})


def of_other_kind(kind: str) -> str:
    """The reason for not judging an object of a kind that makes no pods."""
    return f"{_OTHER_KIND}{kind}"


def why_ignored(decision: Decision) -> str:
    """Why vmguard did not judge an object."""
    return decision.annotations.get("decision", "").removeprefix(_IGNORED)


def makes_no_pods(decision: Decision) -> bool:
    """Whether an object without postures is of a kind that makes no pods; otherwise it was not judged."""
    return decision.outcome != "ignored" or why_ignored(decision).startswith(_OTHER_KIND)


def not_called(namespace: str, reason: str) -> Decision:
    """The decision on an object that the API server never sends: allowed, no patch, and a warning with the reason."""
    text = f"the API server does not call vmguard for namespace {namespace}: {reason}"
    return msgspec.structs.replace(ignored(text), warnings=(warning_line("workload", f"not secured: {text}"),))


def with_note(decision: Decision, note: str) -> Decision:
    """The same decision with one more warning."""
    return msgspec.structs.replace(decision, warnings=(*decision.warnings, warning_line("workload", note)))


@lru_cache(1024)
def unmanaged(identity: Unmanaged) -> Decision:
    """The decision on an unmanaged pod: allowed unchanged, with a warning if it has the operator's labels."""
    warnings: tuple[str, ...] = ()
    if identity.labelled:
        text = "the pod has the operator's labels, but no resource of the operator owns it:"
        text = f"{text} {identity.reason}; nothing was changed"
        warnings = (warning_line("workload", text),)
    annotations = {"decision": f"unmanaged: {identity.reason}"}
    return Decision("unmanaged", warnings=warnings, annotations=annotations, identity=identity)


def unknown(identity: UnknownOwner, settings: Settings, *, may_refuse: bool = True) -> Decision:
    """The decision on a pod with an unknown resource: refused, or admitted unchanged; vmguard never guesses."""
    annotations = {"decision": f"unknown: {identity.reason}"}
    if may_refuse and settings.unknown == "refuse" and settings.mode == "enforce":
        reason = f"the owner of the pod cannot be known: {identity.reason}; {_WAYS_AROUND}"
        refused = one_line(reason, _LONGEST_MESSAGE)
        return Decision("refused", refused=refused, annotations=annotations, identity=identity)
    warning = warning_line("workload", f"not secured, because the owner of the pod cannot be known: {identity.reason}")
    return Decision("unknown", warnings=(warning,), annotations=annotations, identity=identity)


def unknown_kind(identity: UnknownKind, settings: Settings, enforce: Enforce, note: str = "") -> Decision:
    """The decision on a pod of a kind without a row in the tables: allowed unchanged, or denied if enforce is deny.

    `note` is added to the message of a denial.
    """
    what = f"the pod belongs to {identity.owner}: this version of vmguard does not know how the operator makes its pods"
    fix = f"update vmguard, or exempt the namespace with its label {EXEMPT}: {EXEMPT_VALUE}"
    if enforce != "deny":
        warning = warning_line("workload", f"not secured: {what}; {fix}")
        annotations = {"decision": one_line(f"unknown-kind: {identity.owner}", LONGEST_WARNING)}
        return Decision("unknown-kind", warnings=(warning,), annotations=annotations, identity=identity, deniable=True)
    text = f"{what}, so it cannot be secured; {fix}{f'; {note}' if note else ''}"
    owner = Violation("workload", "/metadata/ownerReferences", identity.owner, "a known kind", text, "VMGUARD_ENFORCE")
    return msgspec.structs.replace(_denied(text, [owner], settings), identity=identity)


def unknown_resource(kind: str, nearest_kinds: Sequence[str]) -> Decision:
    """The decision on a resource of the operator's group whose kind has no row in the tables."""
    shown = one_line(kind, LONGEST_WARNING // 2)
    if kind != kind.strip():
        shown = f"{shown} (with white space around it)"
    text = f"kind {shown} of the operator is not known to this version of vmguard: its pods are not secured"
    if nearest_kinds:
        text = f"{text}; known kinds with a similar name: {', '.join(nearest_kinds)}"
    annotations = {"decision": f"unknown-kind: {shown}"}
    return Decision("unknown-kind", warnings=(warning_line("workload", text),), annotations=annotations)


def misnamed_resource(text: str) -> Decision:
    """The decision on an object with a wrong group that is meant to be a resource of the operator."""
    annotations = {"decision": one_line(f"unknown-kind: {text}", LONGEST_WARNING)}
    return Decision(
        "unknown-kind", warnings=(warning_line("workload", f"not judged: {text}"),), annotations=annotations
    )


def unknown_parent(resource: str, parent: UnknownKind, findings: tuple[Finding, ...], settings: Settings) -> Decision:
    """The decision on a resource whose controller is of a kind without a row in the tables; its pods are not secured.

    `findings` are those on the objects that it names; they can deny it.
    """
    decision = decide_resource(resource, findings, settings)
    if decision.outcome not in {"unchanged", "warned"}:
        return decision
    text = f"{resource} belongs to {parent.owner}, of a kind that this version of vmguard does not know"
    warning = warning_line("workload", f"the pods of the resource are not secured: {text}; update vmguard")
    annotations = {**decision.annotations, "decision": one_line(f"unknown-kind: {parent.owner}", LONGEST_WARNING)}
    warnings = (warning, *decision.warnings)
    return msgspec.structs.replace(
        decision, outcome="unknown-kind", warnings=warnings, annotations=annotations, identity=parent
    )


def _denied(text: str, why: Sequence[Change | Violation], settings: Settings) -> Decision:
    """A denial with this message, or in audit mode the warning about it."""
    message = one_line(text, _LONGEST_MESSAGE)
    if settings.mode == "audit":
        annotations = {"decision": f"would-deny: {message}", "findings": left_as_json(why)}
        warnings = (_would_deny(why[0].rule, message, LONGEST_WARNING),)
        return Decision("would-deny", warnings=warnings, annotations=annotations)
    annotations = {"decision": f"denied: {message}", "findings": left_as_json(why)}
    return Decision("denied", allowed=False, message=message, annotations=annotations)


def wrongly_typed(resource: str, wrong: Sequence[WrongType], settings: Settings, *, settled: bool) -> Decision:
    """The decision on a resource that has fields of the wrong JSON type: denied, and nothing is read from it.

    With `settled`, an update that changes none of them, it is allowed with a warning, so that it can be deleted and its
    finalizers can be removed.
    """
    text = (
        f"{resource}: {'; '.join(map(str, wrong))}: vmguard cannot tell what its pods must look like; correct the type"
    )
    if settled:
        warnings = (warning_line("workload", text),)
        return Decision(
            "unknown", warnings=warnings, annotations={"decision": one_line(f"unknown: {text}", _LONGEST_MESSAGE)}
        )
    violations = [
        Violation("workload", each.path, each.found, each.expected, str(each), "the type of the field")
        for each in wrong
    ]
    return _denied(text, violations, settings)


def decide_pod(
    workload: Workload,
    posture: Posture,
    findings: tuple[Finding, ...],
    *,
    webhook: Webhook,
    settings: Settings,
    enforce: Enforce,
    note: str = "",
) -> Decision:
    """The decision on a pod of the operator: /mutate fills, and both webhooks deny what is left where enforce is deny.

    `note` is added to the message of a denial that `enforce` brings.
    """
    changes: list[Change] = []
    violations: list[Violation] = []
    warnings: list[str] = []
    for finding in findings:
        if isinstance(finding, Change):
            changes.append(finding)
        elif isinstance(finding, Violation):
            violations.append(finding)
        else:
            warnings.append(warning_line(finding.rule, finding.text))
    denying = [violation for violation in violations if violation.denies]
    denials = [violation.why for violation in denying]
    if workload.note:
        warnings.append(warning_line("workload", workload.note))
    patch: tuple[Operation, ...] = ()
    outcome: Outcome = "unchanged"
    left: list[Change | Violation] = [*violations, *(changes if webhook == "validate" else ())]
    deniable = bool(left) and not denials
    if deniable and enforce == "deny":
        denials, deniable = [not_compliant(left), *([note] if note else [])], False
    if denials:
        outcome = "denied"
    elif webhook == "mutate":
        patch = build([change.edit for change in changes])
        outcome = "patched" if patch else outcome
        warnings += _complaints(violations)
    elif left and enforce == "warn":
        outcome = "warned"
        warnings.append(warning_line(left[0].rule, not_compliant(left)))
    audit = settings.mode == "audit"
    if audit:
        patch = ()
        outcome = {"patched": "would-patch", "denied": "would-deny"}.get(outcome, outcome)  # type: ignore[assignment]
    message = one_line("; ".join(denials), _LONGEST_MESSAGE)
    if outcome == "would-deny":
        warnings.insert(0, _would_deny((denying or left)[0].rule, message, LONGEST_WARNING))
    tally = tally_of(findings)
    annotations = {
        "decision": f"{outcome}: {message}" if message else outcome,
        "workload": f"{workload.component.name} of {workload}",
        "posture": posture_line(posture),
        "rules": rules_line(tally),
    }
    if left and (webhook == "validate" or denials):
        annotations["findings"] = left_as_json(left)
    denied = outcome == "denied"
    return Decision(
        outcome,
        allowed=not denied,
        message=message if denied else "",
        patch=patch,
        warnings=tuple(warnings),
        annotations=annotations,
        findings=findings,
        identity=workload,
        postures=(posture,),
        deniable=deniable,
        encoded_patch=encoded(patch),
        tally=tally,
    )


def under(decision: Decision, enforce: Enforce, note: str, *, webhook: Webhook, settings: Settings) -> Decision:
    """The deniable `decision` under another level of enforcement; `note` is as in `decide_pod`."""
    identity = decision.identity
    if isinstance(identity, UnknownKind):
        return unknown_kind(identity, settings, enforce, note)
    assert isinstance(identity, Workload)  # noqa: S101 - no other decision is deniable
    findings, (posture,) = decision.findings, decision.postures
    return decide_pod(identity, posture, findings, webhook=webhook, settings=settings, enforce=enforce, note=note)


def enforcement_unknown(decision: Decision, namespace: str, reason: str, settings: Settings) -> Decision:
    """The deniable `decision` if the labels of the pod's namespace are unknown.

    The namespace may enforce deny, so vmguard refuses the pod. With VMGUARD_UNKNOWN=allow it decides without the
    labels.
    """
    text = f"vmguard does not know whether namespace {namespace} enforces deny: {reason}"
    if settings.unknown == "refuse" and settings.mode == "enforce":
        problem = "; ".join(complaint(violation) for violation in decision.violations[:MOST_TOLD])
        what = f"{text}; the pod is not compliant{f': {problem}' if problem else ''}"
        refused = one_line(f"{what}; {_WAYS_AROUND}", _LONGEST_MESSAGE)
        annotations = {**decision.annotations, "decision": one_line(f"unknown: {text}", _LONGEST_MESSAGE)}
        return Decision("refused", refused=refused, annotations=annotations, identity=decision.identity)
    warnings = (*decision.warnings, warning_line("workload", f"{text}; VMGUARD_ENFORCE alone decided"))
    return msgspec.structs.replace(decision, warnings=warnings)


def _complaints(violations: list[Violation]) -> list[str]:
    """Warnings of the violations that remain, the first of many."""
    lines = [warning_line(violation.rule, complaint(violation)) for violation in violations[:MOST_TOLD]]
    more = len(violations) - len(lines)
    return [*lines, *([warning_line(violations[0].rule, f"and {more} more like these")] if more else [])]


def decide_ephemeral(workload: Workload, posture: Posture, findings: tuple[Finding, ...]) -> Decision:
    """The decision on new ephemeral containers in a pod of the operator: allowed, with warnings of their violations."""
    outcome: Outcome = "warned" if findings else "unchanged"
    told = "; ".join(finding.text for finding in findings if type(finding) is Warn)
    tally = tally_of(findings)
    return Decision(
        outcome,
        warnings=_most(findings),
        annotations={
            "decision": one_line(f"{outcome}: {told}" if told else outcome, _LONGEST_MESSAGE),
            "workload": f"{workload.component.name} of {workload}",
            "posture": posture_line(posture),
            "rules": rules_line(tally),
        },
        findings=findings,
        identity=workload,
        postures=(posture,),
        tally=tally,
    )


def with_pods_denied(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings on a resource whose namespace enforces deny: vmguard will deny its noncompliant pods."""
    return tuple(
        msgspec.structs.replace(finding, text=f"{PODS_DENIED}{finding.text}")
        if type(finding) is Warn and finding.noncompliant
        else finding
        for finding in findings
    )


def decide_resource(
    what: str,
    findings: tuple[Finding, ...],
    settings: Settings,
    *,
    posture: str = "",
    postures: tuple[Posture, ...] = (),
    predicted_levels: tuple[PredictedLevels | None, ...] = (),
) -> Decision:
    """The decision on a custom resource; `posture` is the line with the wanted posture of its pods, "" for none."""
    denials = [finding for finding in findings if type(finding) is Violation and finding.denies]
    outcome: Outcome = "warned" if any(type(finding) is Warn for finding in findings) else "unchanged"
    spared: list[str] = []
    if denials and settings.mode == "audit":
        outcome = "would-deny"
        spared = [_would_deny(denial.rule, denial.why, _LONGEST_OF_MANY) for denial in denials]
    elif denials:
        outcome = "denied"
    denied = outcome == "denied"
    worth_warning = findings
    if denied:  # the message has the violation already; the pods are not created
        worth_warning = tuple(
            finding
            for finding in findings
            if type(finding) is Warn and not finding.noncompliant and finding.rule != "pod-security"
        )
    message = one_line("; ".join(denial.why for denial in denials), _LONGEST_MESSAGE)
    tally = tally_of(findings)
    annotations = {
        "decision": f"{outcome}: {message}" if message else outcome,
        "workload": one_line(what, LONGEST_WARNING),
        "rules": rules_line(tally),
    }
    if posture:
        annotations["posture"] = posture
    if denials:
        annotations["findings"] = left_as_json(denials)
    return Decision(
        outcome,
        allowed=not denied,
        message=message if denied else "",
        warnings=_most(worth_warning, spared),
        annotations=annotations,
        findings=findings,
        postures=postures,
        predicted_levels=predicted_levels,
        tally=tally,
    )


def _would_deny(rule: str, why: str, longest: int) -> str:
    return warning_line(rule, f"would be denied (VMGUARD_MODE=audit): {why}", longest)


def _most(findings: tuple[Finding, ...], spared: Sequence[str] = ()) -> tuple[str, ...]:
    """The warnings for a person, `spared` and the most important first, as many as the API server passes on whole."""
    warnings = sorted((finding for finding in findings if type(finding) is Warn), key=_importance)
    lines = _lines(warnings, LONGEST_WARNING)
    if sum(map(len, (*spared, *lines))) > _LARGEST_UNCUT:
        lines = _lines(warnings, _LONGEST_OF_MANY)
    lines = [*spared, *lines]
    told: list[str] = []
    size = 0
    for line in lines[:_MOST_WARNINGS]:
        size += len(line)
        if size > _LARGEST_TOGETHER:
            break
        told.append(line)
    more = len(lines) - len(told)
    return (*told, *([warning_line("workload", f"and {more} warnings more")] if more else []))


def _lines(warnings: Iterable[Warn], longest: int) -> list[str]:
    return [warning_line(warning.rule, warning.text, longest) for warning in warnings]


def _importance(warning: Warn) -> int:
    """Warnings of unjudged objects come first, then the rules in their order."""
    return IDS.index(warning.rule) if warning.rule in IDS else -1
