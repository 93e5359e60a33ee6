"""Decisions on what a person hands in, with the patched pod and its diff; made as at an admission, from files.

The labels of a Namespace among the files count as the selectors of the installed entries read them: an exempt
namespace is never sent to vmguard, and an enforced namespace is enforced here too. A warning says so.
"""

from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

import jsonpatch
import msgspec

from webhook.admission.admission_review import decode, decode_pod, encode, pod_object
from webhook.admit import admit
from webhook.driver import drive
from webhook.facts import FactSource, Found, Lookup, Ref
from webhook.offline.inputs import Input
from webhook.podsecurity import Verdict, evaluate
from webhook.policy.custom_resources import GROUP, wrong_name
from webhook.policy.decide import Decision, Webhook, misnamed_resource, not_called, with_note
from webhook.policy.enforcement import MODE_LABEL, MODE_VALUE, NOT_CALLED, in_namespace, without_effect
from webhook.policy.json_access import object_of
from webhook.policy.recreated import warnings_before_recreation
from webhook.policy.wording import facts_line, warning_line, with_runbook
from webhook.policy.workload import Link
from webhook.settings import Settings
from webhook.yaml_output import as_yaml

_NOT_JUDGED = frozenset({"ignored", "unmanaged"})
"""Outcomes of what is none of the operator's pods and resources, in any namespace."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One input and what came of it; `answer` is the AdmissionReview that production would have sent."""

    input: Input
    webhook: Webhook
    decision: Decision
    looked_up: tuple[Link, ...]
    answer: bytes
    minor: int

    @property
    def allowed(self) -> bool:
        """Whether production would let it through; a refused pod is not created."""
        return self.decision.allowed and not self.decision.refused

    @property
    def pod(self) -> dict[str, Any] | None:
        """The pod as it would be stored, None when the input is none."""
        if self.input.kind != "Pod":
            return None
        return apply(self.input.object, self.decision)

    @property
    def pod_security(self) -> tuple[Verdict, Verdict] | None:
        """The Pod Security verdict on the pod as asked and as admitted, None when the input is no pod."""
        pod = self.pod
        return None if pod is None else (evaluate(self.input.object, self.minor), evaluate(pod, self.minor))

    @property
    def diff(self) -> str:
        """Unified diff of the pod's YAML, "" when nothing changes."""
        pod = self.pod
        if pod is None or not self.decision.patch:
            return ""
        return pod_diff(self.input.object, pod, "as asked", "as admitted")


def judge(item: Input, source: FactSource, settings: Settings, webhook: Webhook | None = None) -> Judged:
    """The decision on one input; `webhook` is mutate for pods and validate for anything else unless it is said.

    Raises:
        ReviewError: the review or the object in it is malformed.

    """
    asked: Webhook = webhook or ("mutate" if item.kind == "Pod" else "validate")
    review = decode(item.review)
    if item.kind == "Pod":  # a malformed pod is an error, also if vmguard would ignore the pod
        decode_pod(pod_object(review.request.object))
    namespace = review.request.namespace or ""
    labels = _labels_of(namespace, source)
    where, there = in_namespace(settings, namespace, labels)
    steps = admit(review, asked, there, minor=source.minor, labels_suffice=source.labels_suffice)
    decision, looked_up = drive(steps, source)
    sent = where not in NOT_CALLED or (where == "excluded" and item.kind != "Pod")
    if not sent and decision.outcome not in _NOT_JUDGED:
        decision = not_called(namespace, NOT_CALLED[where])
    elif settings.mode == "audit" and decision.outcome not in _NOT_JUDGED:
        note = _enforced_by_label(namespace) if there.mode == "enforce" else without_effect(labels)
        decision = with_note(decision, note) if note else decision
    api_version = str(item.object.get("apiVersion") or "")
    wrong = wrong_name(api_version, item.kind)
    if wrong and api_version.rpartition("/")[0] != GROUP:
        decision = misnamed_resource(wrong)
    elif wrong:
        decision = with_note(decision, wrong)
    if item.kind == "Pod" and _is_running(item.object):
        found = warnings_before_recreation(decision, item.object, settings, source.minor)
        more = [warning_line(each.rule, each.text) for each in found]
        warnings = tuple(dict.fromkeys((*decision.warnings, *more)))
        findings = (*decision.findings, *(each for each in found if each not in decision.findings))
        decision = msgspec.structs.replace(decision, warnings=warnings, findings=findings)
    answer = encode(
        review,
        allowed=decision.allowed and not decision.refused,
        message=with_runbook(decision.message) or decision.refused,
        patch=decision.encoded_patch,
        warnings=decision.warnings,
        annotations=decision.annotations,
        facts=facts_line(looked_up),
    )
    return Judged(item, asked, decision, looked_up, answer, source.minor)


def _is_running(pod: dict[str, Any]) -> bool:
    """Whether it is a pod that a node has started, and not one that is to be created."""
    if object_of(pod.get("spec")).get("nodeName"):
        return True
    status = object_of(pod.get("status"))
    return status.get("phase") in {"Running", "Succeeded", "Failed"} or bool(status.get("containerStatuses"))


def _labels_of(namespace: str, source: FactSource) -> dict[str, str | None]:
    """The labels of a Namespace, {} where it is not among the files."""
    fact = source.cached(Lookup(Ref("", "v1", "Namespace", "", namespace)))
    return (fact.object.metadata.labels or {}) if isinstance(fact, Found) else {}


def _enforced_by_label(namespace: str) -> str:
    return f"namespace {namespace} is enforced by its label {MODE_LABEL}={MODE_VALUE}, although VMGUARD_MODE is audit"


def apply(pod: dict[str, Any], decision: Decision) -> dict[str, Any]:
    """A copy of the pod with the decision's patch applied."""
    patched: dict[str, Any] = jsonpatch.apply_patch(pod, msgspec.to_builtins(decision.patch))
    return patched


def pod_diff(before: dict[str, Any], after: dict[str, Any], name_before: str, name_after: str) -> str:
    """Unified diff of the YAML of two pods."""
    texts = as_yaml(before).splitlines(), as_yaml(after).splitlines()
    return "\n".join(unified_diff(*texts, name_before, name_after, lineterm="")) + "\n"
