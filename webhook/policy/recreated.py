"""What a person must know of a running pod before it is created again. A review and the survey report it. Pure."""

import jsonpatch
import msgspec

from webhook.admission.patch import build
from webhook.objects import Pod
from webhook.podsecurity import evaluate
from webhook.policy.decide import Decision
from webhook.policy.findings import Warn
from webhook.policy.json_access import Raw
from webhook.policy.pod_subject import previewed_pod, replaced_pod, subject_of
from webhook.policy.rules import check_replaced_pod, check_running
from webhook.policy.workload import Workload
from webhook.settings import Settings


def warnings_before_recreation(decision: Decision, pod: Raw, settings: Settings, minor: int) -> list[Warn]:
    """Warnings about a raw running pod and the pod in its place, which has all that the decision would fill.

    Data that it wrote come first. There are none where the pod has no owner that vmguard knows.
    """
    workload = decision.identity
    if not isinstance(workload, Workload):
        return []
    edits = build(change.edit for change in decision.changes)
    admitted: Raw = jsonpatch.apply_patch(pod, msgspec.to_builtins(edits))
    subject = subject_of(workload, msgspec.convert(pod, Pod), settings, minor)
    verdicts = evaluate(pod, minor), evaluate(admitted, minor)
    found = check_replaced_pod(replaced_pod(workload, pod, admitted, settings))
    for posture in decision.postures:
        found += check_running(previewed_pod(subject, posture, admitted, verdicts), posture)
    return list(dict.fromkeys(found))
