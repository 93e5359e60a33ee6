"""What will come of the pods that a resource stands for, told before there are any: to the person who applies it.

Each is sketched, the rules are run over it as over a real one, what they fill is filled in, and what a person must act
on is left. Pods that differ in nothing are judged once, and only so many: a resource of a parent kind may stand for
thousands, and one request must not cost what all others wait for. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jsonpatch
import msgspec

from webhook.admission.patch import build
from webhook.facts import Ref
from webhook.objects import Pod
from webhook.podsecurity import Verdict, evaluate
from webhook.policy.decide import PredictedLevels
from webhook.policy.findings import Change, Finding, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.preview.operator_pod import as_asked, as_made
from webhook.policy.preview.prediction import PredictedPod, predict
from webhook.policy.preview.source_map import CONTEXT, SourceMap, source_map_of
from webhook.policy.rules import FORESIGHT, RULES, pod_validity
from webhook.policy.rules.subject import PreviewedPod, Subject
from webhook.policy.rules.wanted_context import nested, wanted_context
from webhook.policy.wording import as_json
from webhook.policy.workload import Workload, user_volumes
from webhook.settings import Settings

MOST = 40
"""Pods, all different, that are judged of one resource."""

MOST_CONTAINERS = 400
"""Of all pods of one resource that are judged."""

MOST_FAULTED = 2000
"""Containers of all pods of one resource that are looked over for what no pod can have."""

_MOST_NAMED = 4
"""Pods of which one and the same is told, by name."""

Wanted = tuple[Workload, Posture]


class _Seen(msgspec.Struct, frozen=True):
    findings: tuple[Finding, ...] = ()
    verdicts: tuple[Verdict, Verdict] | None = None


class Preview(msgspec.Struct, frozen=True):
    """All of it; `predicted_levels` has that of each workload that was judged, by its kind, name and component."""

    findings: tuple[Finding, ...]
    predicted_levels: dict[tuple[str, str, str], PredictedLevels]

    def of(self, workload: Workload) -> PredictedLevels | None:
        return self.predicted_levels.get(_key(workload))


def preview(
    applied: Ref, wanted: Sequence[Wanted], before: Sequence[Wanted] | None, settings: Settings, minor: int
) -> Preview:
    """What will come of the pods that are `wanted` of an object.

    `before` are those that it stood for until now, None where that is not known: then nothing is denied, as the fault
    may have been there.
    """
    drawn = [(predict(workload), posture) for workload, posture in wanted]
    was_strict = {_key(workload): posture.security_context == "strict" for workload, posture in before or ()}
    then = None if before is None else [(predict(workload), posture) for workload, posture in before]
    faults, overlooked = _faults(applied, drawn, minor)
    old, forgotten = _faults(applied, then or (), minor)
    findings: list[Finding] = list(_brought(faults, None if then is None or forgotten else old))
    if overlooked:
        findings.append(Warn("workload", f"{overlooked} of its pods have too many containers to be looked over here"))
    predicted_levels: dict[tuple[str, str, str], PredictedLevels] = {}
    seen: dict[bytes, _Seen] = {}
    lines: dict[tuple[bytes, tuple[str, ...]], list[Warn]] = {}
    told: dict[Warn, list[tuple[str, str]]] = {}
    unjudged = containers = 0
    for each, posture in drawn:
        turned = posture.security_context == "strict" and was_strict.get(_key(each.workload)) is False
        key = _all_that_counts(each, posture, turned=turned)
        places = source_map_of(applied, each)
        if key not in seen:
            more = containers + len(each.pod["spec"]["containers"]) + len(each.pod["spec"]["initContainers"])
            if len(seen) == MOST or more > MOST_CONTAINERS:
                unjudged += 1
                continue
            containers = more
            seen[key] = _judged(each, places.asked(posture), settings, minor, turned=turned)
        if (key, places.speaking) not in lines:
            lines[key, places.speaking] = _lines(places, seen[key].findings)
        for warning in lines[key, places.speaking]:
            alike = Warn(warning.rule, _of_any(each.workload.component.name, warning.text))
            told.setdefault(alike, []).append((places.who, warning.text))
        if verdicts := seen[key].verdicts:
            predicted_levels[_key(each.workload)] = PredictedLevels(places.who, *verdicts)
    for alike, of in told.items():
        who, texts = zip(*of, strict=True)
        findings.append(Warn(alike.rule, f"{_listed(who)}: {texts[0] if len(set(texts)) == 1 else alike.text}"))
    if unjudged:
        text = f"more than {MOST} different pods or {MOST_CONTAINERS} containers: {unjudged} of its workloads are not"
        text += " judged here"
        findings.append(Warn("workload", text))
    return Preview(tuple(findings), predicted_levels)


def _judged(drawn: PredictedPod, posture: Posture, settings: Settings, minor: int, *, turned: bool) -> _Seen:
    try:
        pod = msgspec.convert(drawn.pod, Pod)
    except msgspec.ValidationError as error:
        return _Seen((Warn("workload", f"what it says of its pods cannot be read: {error}"),))
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
    made = as_made(drawn, posture, msgspec.structs.replace(subject, run_as_platform=False))
    before, after = evaluate(made, minor), evaluate(admitted, minor)
    filling = nested(wanted_context(subject, posture)[1])
    prospect = PreviewedPod(admitted, minor, before, after, drawn.claim, turned, filling)
    found += [finding for rule in FORESIGHT for finding in rule(prospect, posture)]
    return _Seen(tuple(found), (before, after))


def _of_any(component: str, text: str) -> str:
    """A text on the pod of a component as one on those of several, each with its main container."""
    for quote in "'\"":
        text = text.replace(f"{quote}{component}{quote}", f"{quote}<component>{quote}")
    return text


def _listed(who: Sequence[str]) -> str:
    names = list(dict.fromkeys(who))
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _lines(places: SourceMap, findings: Iterable[Finding]) -> list[Warn]:
    """What a person is told of the findings on one pod; not what is filled."""
    told = []
    for finding in findings:
        if type(finding) is Violation:
            told.append(Warn(finding.rule, places.complaint(finding)))
        elif type(finding) is Warn:
            told.append(Warn(finding.rule, places.text(finding.text)))
    return told


def _faults(
    applied: Ref, drawn: Iterable[tuple[PredictedPod, Posture]], minor: int
) -> tuple[dict[tuple[str, str], Violation], int]:
    """The faults of all pods that would be made, each once: by the places of the words that make it, and why.

    And how many pods were not looked over.
    """
    found: dict[tuple[str, str], Violation] = {}
    containers = overlooked = 0
    for each, posture in drawn:
        more = len(each.pod["spec"]["containers"]) + len(each.pod["spec"]["initContainers"])
        if containers + more > MOST_FAULTED:
            overlooked += 1
            continue
        containers += more
        places = source_map_of(applied, each)
        for fault in pod_validity.faults(as_asked(each, posture), minor):
            said: dict[str, list[str]] = {}
            for field, value in fault.found.items():
                place = places.context(fault.group, fault.container, field) or posture.context_setting.place
                said.setdefault(place, []).append(f"{field}: {as_json(value)}")
            key = " and ".join(said), fault.why
            if key not in found:
                found[key] = _violation(applied, said, fault)
    return found, overlooked


def _violation(applied: Ref, said: dict[str, list[str]], fault: pod_validity.Fault) -> Violation:
    """A fault as a person reads it; `said` has, by place, what is said there of it."""
    first, *more = (
        f"{place} {'has' if place.endswith(CONTEXT) else 'sets'} {', '.join(fields)}" for place, fields in said.items()
    )
    whose = f"{applied} " if first.startswith(f"{applied} ") else ""
    words = "; ".join((first, *(each.removeprefix(whose) for each in more)))
    why = f"{words}: {fault.why}, so that no such pod can run; correct it"
    place = " and ".join(said)
    return Violation(pod_validity.ID, place, fault.found, "a context that a pod can have", why, place, denies=True)


def _brought(
    now: dict[tuple[str, str], Violation], then: dict[tuple[str, str], Violation] | None
) -> Iterator[Violation | Warn]:
    """The faults, and as warnings those that were there before, be it in another place (`then` is None: maybe all)."""
    gone = Counter(_moved(key, fault) for key, fault in (then or {}).items() if key not in now)
    for key, fault in now.items():
        settled = then is None or key in then
        if not settled and gone[_moved(key, fault)]:
            gone[_moved(key, fault)] -= 1
            settled = True
        yield Warn(fault.rule, f"it was so before: {fault.why}") if settled else fault


def _moved(key: tuple[str, str], fault: Violation) -> tuple[str, bytes]:
    """What stays of a fault that moves to another place."""
    return key[1], msgspec.json.encode(fault.found)


def _all_that_counts(drawn: PredictedPod, posture: Posture, *, turned: bool) -> bytes:
    """All that the findings on a sketch depend on beside settings and version."""
    asked = (posture.security_context, posture.own_context, posture.api_access, posture.scrapes, turned)
    try:
        return msgspec.json.encode((posture.component.name, drawn.pod, drawn.in_daemonset, drawn.claim, asked))
    except OverflowError:  # an integer of more than 64 bits
        return repr((posture.component.name, drawn.pod, drawn.claim, asked)).encode(errors="replace")


def _key(workload: Workload) -> tuple[str, str, str]:
    return workload.kind, workload.name, workload.component.name
