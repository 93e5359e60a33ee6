"""What a resource asks of the operator: the security contexts of the pods as the operator alone would make them. Pure.

Source: pods that operators v0.42 to v0.74 made.
"""

from collections.abc import Sequence
from typing import Any

from webhook.policy.context_fields import ROWS
from webhook.policy.json_access import Raw, laid_over, object_of
from webhook.policy.posture import Posture
from webhook.policy.preview.prediction import PredictedPod
from webhook.policy.rules.subject import Subject
from webhook.policy.rules.wanted_context import nested, projected, wanted_context

_ALWAYS_STRICT = {"allowPrivilegeEscalation": ROWS["container"]["allowPrivilegeEscalation"].strict}
"""What can contradict a patch over a container, of all that strict security ever was."""


def as_asked(drawn: PredictedPod, posture: Posture) -> Raw:
    """The spec of the pod with the contexts that every operator puts there, whatever its version and settings."""
    if posture.security_context == "custom":
        return _with(drawn, *projected(posture.own_context))
    return _with(drawn, {}, _ALWAYS_STRICT if posture.set_by_resource else {})


def as_made(drawn: PredictedPod, posture: Posture, subject: Subject) -> Raw:
    """The pod as the newest operator makes it when its environment asks for nothing."""
    pod: Raw = {}
    container: Raw = {}
    if posture.set_by_resource:
        pod, container = wanted_context(subject, posture)
    return {**drawn.pod, "spec": _with(drawn, pod, nested(container))}


def _with(drawn: PredictedPod, pod: Raw, container: Raw) -> Raw:
    """The sketch's spec with those contexts; a patch over an operator's container is laid over its context."""

    def each_with(containers: Sequence[Raw]) -> list[Any]:
        return [
            {
                **each,
                "securityContext": laid_over(
                    container if each["name"] in drawn.made else {}, object_of(each.get("securityContext"))
                ),
            }
            for each in containers
        ]

    spec = drawn.pod["spec"]
    groups = {group: each_with(spec[group]) for group in ("containers", "initContainers")}
    return {**spec, "securityContext": pod, **groups}
