"""The answer to a dry-run question: what vmguard would do with this pod or resource, and why, as one object.

It knows only the request and the objects that the server started with. It changes nothing.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from webhook.admission.admission_review import ReviewError
from webhook.facts import parse_kubernetes_version
from webhook.offline.documents import DRY_RUN, DocumentError, read_documents
from webhook.offline.file_facts import FileFacts, ObjectError
from webhook.offline.inputs import Input, InputError, Sorted, facts_only, sort_documents
from webhook.offline.judge import Judged, apply, judge
from webhook.offline.question import Question
from webhook.offline.reply import LEVELS, ComponentPosture, DryRunAnswer, LevelName, PodSecurity, WhosePod, pod_change
from webhook.podsecurity import Verdict
from webhook.policy.posture import Posture
from webhook.policy.workload import Workload
from webhook.settings import Settings
from webhook.text import mismatch, one_line

_LONGEST = 300
"""Most characters of the error on a question."""

_MOST_REASONS, _LONGEST_REASON = 50, 500
"""Most reasons why a pod or the pods of a resource are not restricted, and most characters of one."""


class QuestionError(ValueError):
    """A question that cannot be answered; `code` is the HTTP status, 400 for broken text, 422 for the wrong content."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def answer(body: bytes, known: tuple[dict[str, Any], ...], settings: Settings, minor: int) -> DryRunAnswer:
    """The answer to a question in JSON or YAML; `known` are the objects that the server started with.

    Raises:
        QuestionError: the question is broken, unsafe or about nothing.

    """
    try:
        values = [document.value for document in read_documents(body, limits=DRY_RUN)]
    except DocumentError as error:
        raise QuestionError(400, f"line {error.line}: {error}" if error.line else str(error)) from None
    try:
        item, objects, minor = _asked(values, minor)
        source = FileFacts((*known, *objects.facts), minor, complete=bool(known) or objects.has_owners)
        judged = judge(item, source, settings)
    except (InputError, ObjectError, ReviewError, ValueError) as error:
        raise QuestionError(422, str(error)) from None
    return _answered(judged)


def _asked(values: list[Any], minor: int) -> tuple[Input, Sorted, int]:
    if len(values) == 1 and isinstance(values[0], dict) and "pod" in values[0] and "kind" not in values[0]:
        try:
            question = msgspec.convert(values[0], Question)
        except msgspec.ValidationError as error:
            raise InputError(one_line(mismatch(error), _LONGEST)) from None
        if question.kubernetes_version:
            minor = parse_kubernetes_version(question.kubernetes_version)
        inputs = sort_documents([("pod", question.pod)]).inputs
        objects = facts_only((f"objects[{index}]", thing) for index, thing in enumerate(question.objects))
        if not inputs or inputs[0].kind != "Pod":
            raise InputError("pod: not a Pod")
        return inputs[0], Sorted((), objects), minor
    found = sort_documents((f"document {index}", value) for index, value in enumerate(values, 1))
    pods = [item for item in found.inputs if item.kind == "Pod"]
    asked = pods or list(found.inputs)
    if len(asked) != 1:
        raise InputError(
            f"send exactly one Pod or one resource of the operator in a request, not {len(asked)}; its owners go with"
            ' it, in a List or as {"pod": …, "objects": […]}'
        )
    return asked[0], found, minor


def _answered(judged: Judged) -> DryRunAnswer:
    decision = judged.decision
    workload = decision.identity if isinstance(decision.identity, Workload) else None
    return DryRunAnswer(
        allowed=decision.allowed,
        message=decision.message,
        workload=_workload(workload) if workload else None,
        posture=[_posture(posture) for posture in decision.postures],
        changes=[pod_change(change) for change in decision.changes],
        warnings=list(decision.warnings),
        patch=list(decision.patch),
        pod=apply(judged.input.object, decision) if judged.input.kind == "Pod" else None,
        diff=judged.diff,
        pod_security=_pod_security(judged),
    )


def _workload(workload: Workload) -> WhosePod:
    parent = workload.parentage.parent
    return WhosePod(
        kind=workload.kind,
        namespace=workload.namespace,
        name=workload.name,
        component=workload.component.name,
        parent=str(parent) if parent else None,
        source=workload.source,
    )


def _posture(posture: Posture) -> ComponentPosture:
    return ComponentPosture(
        component=posture.component.name,
        security_context=posture.security_context,
        api_access=posture.api_access,
        pod_security_policy=posture.pod_security_policy.word if posture.pod_security_policy else None,
        because=list(posture.because),
    )


def _pod_security(judged: Judged) -> PodSecurity | None:
    """For a resource, the lowest levels of its pods, each reason with its component."""
    if judged.pod_security is not None:
        before, after = judged.pod_security
        return PodSecurity(_level(before), _level(after), _reasons(map(str, after.reasons)))
    predicted_levels = [levels for levels in judged.decision.predicted_levels if levels]
    if not predicted_levels:
        return None
    lowest_before = min((each.before for each in predicted_levels), key=lambda verdict: verdict.level)
    lowest = min((each.after for each in predicted_levels), key=lambda verdict: verdict.level)
    reasons = dict.fromkeys(f"{each.who}: {why}" for each in predicted_levels for why in each.after.reasons)
    return PodSecurity(_level(lowest_before), _level(lowest), _reasons(reasons))


def _reasons(reasons: Iterable[str]) -> list[str]:
    """The reasons, cut; the last one counts those that are left out."""
    lines = [one_line(reason, _LONGEST_REASON) for reason in reasons]
    more = len(lines) - _MOST_REASONS
    return [*lines[:_MOST_REASONS], f"and {more} more"] if more > 0 else lines


def _level(verdict: Verdict) -> LevelName:
    return LEVELS[verdict.level]
