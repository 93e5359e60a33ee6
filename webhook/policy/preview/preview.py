"""The findings of the rules on the predicted pods of a resource, for the person who applies it.

vmguard predicts each pod, runs the rules over it like over a real one, and fills what the rules fill. The rest needs
manual changes. It judges identical pods once, and a limited number of pods: a parent may have thousands of pods, and
one request must not take the time of all others. Pure.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import jsonpatch
import msgspec

from webhook.admission.patch import build
from webhook.facts import Ref
from webhook.objects import Pod
from webhook.podsecurity import Verdict, evaluate
from webhook.policy.decide import Flaw, PredictedLevels
from webhook.policy.findings import Change, Finding, Violation, Warn
from webhook.policy.json_access import Raw
from webhook.policy.placed_fix import placed
from webhook.policy.pod_subject import flawed_pod, previewed_pod, subject_of
from webhook.policy.posture import Posture
from webhook.policy.preview.operator_contexts import pod_of_newest_operator, spec_of_any_operator, spec_with_contexts
from webhook.policy.preview.predicted_pod import PredictedPod
from webhook.policy.preview.resource_pods import PodsOfResource
from webhook.policy.preview.source_map import CONTEXT, SourceMap, source_map_of
from webhook.policy.rules import check_operator_pod, check_pod, check_preview, fix_of
from webhook.policy.rules.subject import THIS_POD, FlawedPod, OperatorPod, Subject
from webhook.policy.rules.wanted_context import nested, wanted_context
from webhook.policy.wording import as_json, postures_line
from webhook.policy.workload import Workload
from webhook.settings import Settings
from webhook.text import mismatch

MOST = 40
"""Most different pods of one resource that are judged."""

MOST_CONTAINERS = 400
"""Most containers of all pods of one resource that are judged."""

MOST_CHECKED = 2000
"""Most containers of all pods of one resource that are checked for impossible values."""

_MAIN = "<component>"
"""The main container, in texts that several components share."""

_MOST_NAMED = 4
"""Most pods that one warning names."""

_Place = tuple[str, str]
"""The places of the fields that make a violation, and why it is one."""

_Key = tuple[str, str, str, str]
"""Kind and name of a resource, name of the component, and the place in a parent of a zone that has only an index."""

_BY_INDEX = re.compile(r"\.zones\[\d+\]\.")


class Preview(msgspec.Struct, frozen=True):
    """The findings, and the postures as a line of text.

    For each workload there is its posture and its Pod Security levels, None if it was not judged. Both are left out of
    a preview that comes from another process: only answers for people have them.
    """

    findings: tuple[Violation | Warn, ...]
    posture: str
    postures: tuple[Posture, ...] = ()
    predicted_levels: tuple[PredictedLevels | None, ...] = ()


def preview_pods(
    pods: PodsOfResource, before: PodsOfResource | None, settings: Settings, minor: int, *, fixes: bool = True
) -> Preview:
    """The findings of the rules on the pods of a resource.

    `before` are the pods of the same resource before this update, None for a new resource. An impossible value denies
    the resource, unless the resource had it before, or was too large before to be predicted. With `fixes` the levels
    have a fix for each finding.
    """
    applied = pods.resource
    predicted = pods.predicted(settings)
    too_large = bool(before and before.not_predicted())
    earlier = before.predicted(settings) if before and not too_large else ()
    impossible, unchecked = _impossible(applied, predicted, minor)
    settled, unknown = _impossible(applied, earlier, minor)
    new = _new(impossible, None if too_large or unknown else settled)
    findings: list[Violation | Warn] = [finding for _, finding in new]
    if unchecked:
        findings.append(Warn("workload", f"{unchecked} of its pods have too many containers to be looked over here"))
    was = {_key(each.workload): each for each in earlier}
    warnings, levels, found = _warnings(applied, predicted, was, settings, minor, is_new=before is None)
    findings += [*warnings, *(Warn("workload", note) for note in pods.notes())]
    for place, finding in new:
        found += [(finding, violation, pod) for pod, violation in impossible[place].found]
    flaws = _flaws(found if fixes else ())
    workloads = tuple(pods.workloads())
    postures = pods.postures(settings)
    predicted_levels = tuple(_with_flaws(levels.get(_key(each)), flaws.get(_key(each), ())) for each in workloads)
    return Preview(tuple(findings), postures_line(postures), postures, predicted_levels)


_Found = tuple[Violation | Warn, Violation | Warn, FlawedPod]
"""A finding as it is shown, as the rule gave it, and the pod."""


def _flaws(found: Iterable[_Found]) -> dict[_Key, list[Flaw]]:
    """The fixes for findings, by workload."""
    flaws: dict[_Key, list[Flaw]] = {}
    for shown, finding, pod in found:
        if fix := fix_of(finding, pod):
            flaws.setdefault(_key(pod.workload), []).append(Flaw(shown, placed(fix, pod.workload)))
    return flaws


def _with_flaws(levels: PredictedLevels | None, flaws: Sequence[Flaw]) -> PredictedLevels | None:
    return msgspec.structs.replace(levels, flaws=tuple(flaws)) if levels and flaws else levels


class _Judged(msgspec.Struct, frozen=True):
    """What the rules found in one pod; the Pod Security verdicts without vmguard and as admitted.

    `flawed` is the pod as the rules make fixes for it; any workload with identical pods may stand in it.
    """

    findings: tuple[Finding, ...] = ()
    verdicts: tuple[Verdict, Verdict] | None = None
    flawed: FlawedPod | None = None


class _Impossible(msgspec.Struct, frozen=True):
    """An impossible value: the violation for a person, and the original ones of the rule for each pod."""

    shown: Violation
    found: list[tuple[FlawedPod, Violation]]


def _warnings(
    applied: Ref,
    predicted: Sequence[PredictedPod],
    was: dict[_Key, PredictedPod],
    settings: Settings,
    minor: int,
    *,
    is_new: bool,
) -> tuple[list[Warn], dict[_Key, PredictedLevels], list[_Found]]:
    """The warnings about all pods, each with the components that it is about; each workload's levels; all findings."""
    levels: dict[_Key, PredictedLevels] = {}
    judged: dict[bytes, _Judged] = {}
    texts: dict[tuple[bytes, tuple[str, ...]], list[tuple[Warn, Violation | Warn]]] = {}
    about: dict[Warn, list[tuple[str, str]]] = {}
    found: dict[Warn, list[tuple[FlawedPod, Violation | Warn]]] = {}
    left_out = containers = 0
    for each in predicted:
        earlier = _changed(was.get(_key(each.workload)), each)
        identical = _all_that_matters(each) + (_all_that_matters(earlier) if earlier else b"")
        source_map = source_map_of(applied, each)
        if identical not in judged:
            if len(judged) == MOST or containers + each.containers > MOST_CONTAINERS:
                left_out += 1
                continue
            containers += each.containers
            judged[identical] = _judge(each, source_map.located(each.posture), settings, minor, earlier, is_new=is_new)
        if (identical, source_map.places) not in texts:
            texts[identical, source_map.places] = _texts(source_map, judged[identical].findings)
        flawed = judged[identical].flawed
        for warning, finding in texts[identical, source_map.places]:
            text = _of_any_component(each.workload.component.name, warning.text)
            general = msgspec.structs.replace(warning, text=text)
            if flawed:
                pod = msgspec.structs.replace(flawed, workload=each.workload, posture=each.posture)
                found.setdefault(general, []).append((pod, finding))
            about.setdefault(general, []).append(
                (source_map.component, warning.text.replace(THIS_POD, each.as_argument))
            )
        if verdicts := judged[identical].verdicts:
            changes = sum(type(finding) is Change for finding in judged[identical].findings)
            violations = sum(map(_is_to_correct, judged[identical].findings))
            levels[_key(each.workload)] = PredictedLevels(source_map.component, *verdicts, changes, violations)
    warnings: list[Warn] = []
    all_found: list[_Found] = []
    for general, of in about.items():
        components, lines = zip(*of, strict=True)
        text = lines[0] if len(set(lines)) == 1 else _of_all(general.text).replace(THIS_POD, "POD")
        warnings.append(msgspec.structs.replace(general, text=f"{_listed(components)}: {text}"))
        all_found += [(warnings[-1], finding, pod) for pod, finding in found.get(general, ())]
    if left_out:
        text = f"more than {MOST} different pods or {MOST_CONTAINERS} containers: {left_out} of its workloads are not"
        warnings.append(Warn("workload", f"{text} judged here"))
    return warnings, levels, all_found


def _is_to_correct(finding: Finding) -> bool:
    """Whether a person must correct something: filling does not help."""
    return type(finding) is Violation or (type(finding) is Warn and finding.fatal)


def _judge(
    predicted: PredictedPod,
    posture: Posture,
    settings: Settings,
    minor: int,
    earlier: PredictedPod | None,
    *,
    is_new: bool,
) -> _Judged:
    try:
        subject = _subject(predicted, settings, minor)
    except msgspec.ValidationError as error:
        return _Judged((Warn("workload", f"vmguard does not judge its pods: in the pod, {mismatch(error)}"),))
    findings = check_pod(subject, posture)
    edits = build(finding.edit for finding in findings if type(finding) is Change)
    admitted: dict[str, Any] = jsonpatch.apply_patch(predicted.pod, msgspec.to_builtins(edits))
    unguarded = pod_of_newest_operator(predicted, msgspec.structs.replace(subject, run_as_platform=False))
    before, after = evaluate(unguarded, minor), evaluate(admitted, minor)
    spec_before = _spec_as_admitted(earlier, settings, minor) if earlier else None
    previewed = previewed_pod(subject, posture, admitted, (before, after), spec_before, is_new=is_new)
    flawed = flawed_pod(predicted.workload, posture, admitted, subject)
    return _Judged((*findings, *check_preview(previewed, posture)), (before, after), flawed)


def _subject(predicted: PredictedPod, settings: Settings, minor: int) -> Subject:
    return subject_of(predicted.workload, msgspec.convert(predicted.pod, Pod), settings, minor)


def _changed(earlier: PredictedPod | None, now: PredictedPod) -> PredictedPod | None:
    """The pod before an update, None where there was none or nothing changes that the rules read."""
    if earlier is None or (earlier.pod == now.pod and earlier.posture == now.posture):
        return None
    return earlier


def _spec_as_admitted(earlier: PredictedPod, settings: Settings, minor: int) -> Raw | None:
    """The spec of the pod before an update with the contexts that it has got, None where it cannot be read."""
    try:
        subject = _subject(earlier, settings, minor)
    except msgspec.ValidationError:
        return None
    if earlier.posture.security_context == "off":
        return earlier.spec
    pod, container = wanted_context(subject, earlier.posture)
    return spec_with_contexts(earlier, pod, nested(container))


def _of_any_component(component: str, text: str) -> str:
    """A text about the pod of a component as one about several, each with its main container."""
    for quote in "'\"":
        text = text.replace(f"{quote}{component}{quote}", f"{quote}{_MAIN}{quote}")
    return text


def _of_all(text: str) -> str:
    """The same text as people read it."""
    for quote in "'\"":
        text = text.replace(f"container {quote}{_MAIN}{quote}", "the main container")
        text = text.replace(f"{quote}{_MAIN}{quote}", "the main one")
    return text


def _listed(components: Sequence[str]) -> str:
    names = list(dict.fromkeys(components))
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _texts(source_map: SourceMap, findings: Iterable[Finding]) -> list[tuple[Warn, Violation | Warn]]:
    """The findings on one pod that a person must act on, as warnings and as the rules gave them."""
    warnings: list[tuple[Warn, Violation | Warn]] = []
    for finding in findings:
        if type(finding) is Violation:
            warnings.append((Warn(finding.rule, source_map.complaint(finding), noncompliant=True), finding))
        elif type(finding) is Warn:
            warnings.append((Warn(finding.rule, source_map.text(finding.text), fatal=finding.fatal), finding))
    return warnings


def _impossible(applied: Ref, predicted: Iterable[PredictedPod], minor: int) -> tuple[dict[_Place, _Impossible], int]:
    """What no pod can have in any of the pods, each once: by the places of the fields that make it, and why.

    And how many pods were not checked.
    """
    found: dict[_Place, _Impossible] = {}
    containers = unchecked = 0
    for each in predicted:
        if containers + each.containers > MOST_CHECKED:
            unchecked += 1
            continue
        containers += each.containers
        source_map = source_map_of(applied, each)
        spec = spec_of_any_operator(each)
        flawed = FlawedPod({**each.pod, "spec": spec}, minor, each.workload, each.posture)
        for violation in check_operator_pod(OperatorPod(spec, minor)):
            fields: dict[str, list[str]] = {}
            for field, value in violation.found.items():
                place = source_map.context_of(violation.path, field) or each.posture.context_setting.place
                fields.setdefault(place, []).append(f"{field}: {as_json(value)}")
            key = " and ".join(fields), violation.why
            if key not in found:
                found[key] = _Impossible(_located(applied, fields, violation), [])
            found[key].found.append((flawed, violation))
    return found, unchecked


def _located(applied: Ref, fields: dict[str, list[str]], violation: Violation) -> Violation:
    """A violation as a person reads it; `fields` has, by place, the fields that make it with their values."""
    first, *more = (
        f"{place} {'has' if place.endswith(CONTEXT) else 'sets'} {', '.join(values)}"
        for place, values in fields.items()
    )
    resource = f"{applied} " if first.startswith(f"{applied} ") else ""
    what = "; ".join((first, *(each.removeprefix(resource) for each in more)))
    why = f"{what}: {violation.why}, so that no such pod can run; correct it"
    place = " and ".join(fields)
    return msgspec.structs.replace(violation, path=place, why=why, source=place)


def _new(
    now: dict[_Place, _Impossible], before: dict[_Place, _Impossible] | None
) -> list[tuple[_Place, Violation | Warn]]:
    """The violations, and as warnings those that were there before, in this or another place (None: maybe all)."""
    gone = Counter(_without_place(key, each.shown) for key, each in (before or {}).items() if key not in now)
    result: list[tuple[_Place, Violation | Warn]] = []
    for key, each in now.items():
        violation = each.shown
        settled = before is None or key in before
        if not settled and gone[_without_place(key, violation)]:
            gone[_without_place(key, violation)] -= 1
            settled = True
        result.append((key, Warn(violation.rule, f"it was so before: {violation.why}") if settled else violation))
    return result


def _without_place(key: _Place, violation: Violation) -> tuple[str, bytes]:
    """What a violation has in common with itself at another place."""
    return key[1], msgspec.json.encode(violation.found)


def _all_that_matters(predicted: PredictedPod) -> bytes:
    """All that the findings on a predicted pod depend on, beside settings and version."""
    posture, workload = predicted.posture, predicted.workload
    context = posture.security_context, posture.own_context, posture.ignores_strict
    settings = *context, posture.api_access, posture.needs_api
    parts = workload.component.name, predicted.pod, workload.in_daemonset, settings
    try:
        return msgspec.json.encode(parts)
    except OverflowError:  # an integer of more than 64 bits
        return repr(parts).encode(errors="replace")


def _key(workload: Workload) -> _Key:
    place = workload.parentage.layers[0][0] if workload.parentage.layers else ""
    return workload.kind, workload.name, workload.component.name, place if _BY_INDEX.search(place) else ""
