"""What will come of the pods that a resource stands for, told before there are any: to the person who applies it.

Each is sketched, the rules are run over it as over a real one, what they fill is filled in, and what a person must act
on is left. Pods that differ in nothing are judged once, and only so many: a resource of a parent kind may stand for
thousands, and one request must not cost what all others wait for. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import jsonpatch
import msgspec

from webhook.admission.patch import build
from webhook.objects import Pod
from webhook.podsecurity import evaluate
from webhook.policy.decide import Outlook
from webhook.policy.findings import Change, Finding, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.resource import user_volumes
from webhook.policy.rules import FORESIGHT, RULES, pod_validity
from webhook.policy.rules.subject import Prospect, Subject
from webhook.policy.rules.wanted_context import projected
from webhook.policy.sketch import Sketch, sketch
from webhook.policy.wording import complaint
from webhook.policy.workload import Workload
from webhook.settings import Settings

MOST = 40
"""Pods, all different, that are judged of one resource."""

MOST_CONTAINERS = 400
"""Of all pods of one resource that are judged."""

Wanted = tuple[Workload, Posture]


class _Seen(msgspec.Struct, frozen=True):
    findings: tuple[Finding, ...] = ()
    outlook: Outlook | None = None


class Foreseen(msgspec.Struct, frozen=True):
    """All of it; `outlooks` has that of each workload that was judged, by its kind, name and component."""

    findings: tuple[Finding, ...]
    outlooks: dict[tuple[str, str, str], Outlook]

    def of(self, workload: Workload) -> Outlook | None:
        return self.outlooks.get(_key(workload))


def foresee(wanted: Sequence[Wanted], before: Sequence[Wanted] | None, settings: Settings, minor: int) -> Foreseen:
    """What will come of the pods that are `wanted`.

    `before` are those that the resource stood for until now, None where that is not known: then nothing is denied, as
    the fault may have been there.
    """
    drawn = [(sketch(workload), posture) for workload, posture in wanted]
    was_strict = {_key(workload): posture.security_context == "strict" for workload, posture in before or ()}
    settled = frozenset(_denials(((sketch(workload), posture) for workload, posture in before or ()), minor))
    findings: list[Finding] = []
    for violation in _denials(drawn, minor).values():
        known = before is None or _identity(violation) in settled
        findings.append(Warn(violation.rule, f"{violation.why} (it was so before)") if known else violation)
    outlooks: dict[tuple[str, str, str], Outlook] = {}
    seen: dict[bytes, _Seen] = {}
    unjudged = containers = 0
    for each, posture in drawn:
        turned = posture.security_context == "strict" and was_strict.get(_key(each.workload)) is False
        key = _all_that_counts(each, posture, turned=turned)
        if key not in seen:
            more = containers + len(each.pod["spec"]["containers"]) + len(each.pod["spec"]["initContainers"])
            if len(seen) == MOST or more > MOST_CONTAINERS:
                unjudged += 1
                continue
            containers = more
            seen[key] = _judged(each, posture, settings, minor, turned=turned)
            findings += seen[key].findings
        outlook = seen[key].outlook
        if outlook:
            outlooks[_key(each.workload)] = outlook
    if unjudged:
        text = f"more than {MOST} different pods or {MOST_CONTAINERS} containers: {unjudged} of its workloads are not"
        text += " judged here"
        findings.append(Warn("workload", text))
    return Foreseen(tuple(findings), outlooks)


def _judged(drawn: Sketch, posture: Posture, settings: Settings, minor: int, *, turned: bool) -> _Seen:
    who = _who(drawn.workload)
    try:
        pod = msgspec.convert(drawn.pod, Pod)
    except msgspec.ValidationError as error:
        return _Seen((Warn("workload", f"{who}: what it says of its pods cannot be read: {error}"),))
    subject = Subject(
        pod=pod,
        minor=minor,
        in_daemonset=drawn.in_daemonset,
        run_as_platform=settings.run_as == "platform",
        harden_sidecars=settings.harden_sidecars,
        user_volumes=user_volumes(drawn.workload),
    )
    found = [finding for rule in RULES for finding in rule(subject, posture)]
    edits = build(finding.edit for finding in found if type(finding) is Change)
    admitted: dict[str, Any] = jsonpatch.apply_patch(drawn.pod, msgspec.to_builtins(edits))
    before, after = evaluate(drawn.pod, minor), evaluate(admitted, minor)
    prospect = Prospect(admitted, minor, before, after, drawn.claim, turned)
    found += [finding for rule in FORESIGHT for finding in rule(prospect, posture)]
    told = tuple(each for finding in found if (each := _told(who, finding)))
    return _Seen(told, Outlook(who, before, after))


def _told(who: str, finding: Finding) -> Warn | None:
    if type(finding) is Violation:
        return Warn(finding.rule, f"{who}: {complaint(finding)}")
    return Warn(finding.rule, f"{who}: {finding.text}") if type(finding) is Warn else None


def _denials(drawn: Iterable[tuple[Sketch, Posture]], minor: int) -> dict[tuple[str, bytes], Violation]:
    """The faults of all pods that would be made, each once, by what tells one from another."""
    found: dict[tuple[str, bytes], Violation] = {}
    for each, posture in drawn:
        operators = posture.component.containers
        path = f"{each.workload} {'.'.join(posture.component.path)}"
        for fault in pod_validity.faults(as_asked(each, posture), minor):
            users = fault.container and fault.container not in operators
            own = not users and any(
                posture.own_context.get(field.partition(".")[0]) is not None for field in fault.found
            )
            place = f"{path}.securityContext" if own else f"{path}.{fault.group}[{fault.container}].securityContext"
            said = ", ".join(f"{field}: {_json(value)}" for field, value in fault.found.items())
            why = f"{place} has {said}: {fault.why}, so that no such pod can run; correct it"
            violation = Violation(
                pod_validity.ID, place, fault.found, "a context that a pod can have", why, place, True
            )
            found.setdefault(_identity(violation), violation)
    return found


def _identity(violation: Violation) -> tuple[str, bytes]:
    return violation.path, msgspec.json.encode(violation.found)


def as_asked(drawn: Sketch, posture: Posture) -> dict[str, Any]:
    """The spec of the pod as the newest operator makes it, with the resource's own context put where it puts it."""
    spec = drawn.pod["spec"]
    if posture.security_context != "custom":
        return {"containers": _contexts(spec["containers"]), "initContainers": _contexts(spec["initContainers"])}
    pod, container = projected(posture.own_context)
    operators = posture.component.containers
    groups = {
        group: [
            {**each, "securityContext": {**container, **each["securityContext"]}} if each["name"] in operators else each
            for each in _contexts(spec[group])
        ]
        for group in ("containers", "initContainers")
    }
    return {"securityContext": pod, **groups}


def _contexts(containers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each container with no more than its name and its security context."""
    found = []
    for each in containers:
        context = each.get("securityContext")
        found.append({"name": each["name"], "securityContext": context if isinstance(context, dict) else {}})
    return found


def _all_that_counts(drawn: Sketch, posture: Posture, *, turned: bool) -> bytes:
    """All that the findings on a sketch depend on beside settings and version."""
    asked = (posture.security_context, posture.own_context, posture.api_access, posture.scrapes, turned)
    try:
        return msgspec.json.encode((posture.component.name, drawn.pod, drawn.in_daemonset, drawn.claim, asked))
    except OverflowError:  # an integer of more than 64 bits
        return repr((posture.component.name, drawn.pod, drawn.claim, asked)).encode(errors="replace")


def _key(workload: Workload) -> tuple[str, str, str]:
    return workload.kind, workload.name, workload.component.name


def _who(workload: Workload) -> str:
    made = workload.parentage.parent is not None
    return f"{workload.component.name} of {workload}" if made else workload.component.name


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
