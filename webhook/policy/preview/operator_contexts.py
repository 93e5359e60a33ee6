"""The security contexts that the operator itself puts into a predicted pod, without vmguard. Pure.

Source: pods that operators v0.42 to v0.74 made.
"""

from collections.abc import Sequence

from webhook.policy.context_fields import ROWS
from webhook.policy.json_access import Raw, laid_over, object_of
from webhook.policy.preview.predicted_pod import PredictedPod
from webhook.policy.rules.subject import Subject
from webhook.policy.rules.wanted_context import nested, projected, wanted_context

_ALWAYS_STRICT = {"allowPrivilegeEscalation": ROWS["container"]["allowPrivilegeEscalation"].strict}
"""The one field of strict security, in every version, that can contradict a patch over a container."""


def spec_of_any_operator(predicted: PredictedPod) -> Raw:
    """The pod's spec with the contexts that every operator puts there, whatever its version and settings."""
    posture = predicted.posture
    if posture.security_context == "custom":
        return spec_with_contexts(predicted, *projected(posture.own_context))
    return spec_with_contexts(predicted, {}, _ALWAYS_STRICT if posture.set_by_resource else {})


def pod_of_newest_operator(predicted: PredictedPod, subject: Subject) -> Raw:
    """The pod as the newest operator makes it when its environment sets nothing."""
    pod: Raw = {}
    container: Raw = {}
    if predicted.posture.set_by_resource:
        pod, container = wanted_context(subject, predicted.posture)
    return {**predicted.pod, "spec": spec_with_contexts(predicted, pod, nested(container))}


def spec_with_contexts(predicted: PredictedPod, pod: Raw, container: Raw) -> Raw:
    """The pod's spec with those contexts; a patch over an operator's container is merged into its context."""

    def each_with_context(containers: Sequence[Raw]) -> list[Raw]:
        return [
            {
                **each,
                "securityContext": laid_over(
                    container if each["name"] in predicted.operator_containers else {},
                    object_of(each.get("securityContext")),
                ),
            }
            for each in containers
        ]

    groups = {group: each_with_context(predicted.spec[group]) for group in ("containers", "initContainers")}
    return {**predicted.spec, "securityContext": pod, **groups}
