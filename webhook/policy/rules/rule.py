"""The record of a rule, and what each phase gives to a rule's check.

A rule has a check for each phase that it takes part in. Every check returns findings and changes nothing.

pod                  a pod at admission, real or predicted: what must be filled, and what is wrong
preview              a predicted pod as vmguard would admit it: warnings for the person who applies the resource
replaced_pod         a running pod and the pod that will take its place: warnings for the person who asks
resource             a custom resource as it is written: warnings for the person who applies it
operator_pod         a predicted pod without vmguard's changes: violations that deny the resource
ephemeral_container  a new ephemeral container of a running pod
policy_reference     a PodSecurityPolicy that a resource names; the flag is True for one that its pods name themselves
"""

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from webhook.policy.findings import Finding, Fix, NothingToCopy, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import (
    EphemeralContainer,
    FlawedPod,
    OperatorPod,
    PolicyReference,
    PreviewedPod,
    ReplacedPod,
    ResourceObject,
    Subject,
)

WordsRead = Callable[[dict[str, Any]], list[str]]
"""From a container to the words that a rule finds in its command and arguments; of these alone it finds the same."""

PodCheck = Callable[[Subject, Posture], list[Finding]]
PreviewCheck = Callable[[PreviewedPod, Posture], list[Finding]]
ReplacedPodCheck = Callable[[ReplacedPod], list[Warn]]
ResourceCheck = Callable[[ResourceObject], list[Warn]]
OperatorPodCheck = Callable[[OperatorPod], list[Violation]]
EphemeralContainerCheck = Callable[[EphemeralContainer, Posture], list[Finding]]
PolicyReferenceCheck = Callable[[PolicyReference, bool], list[Finding]]

FixOf = Callable[[Violation | Warn, FlawedPod], Fix]
"""From a finding on a pod to what someone can copy to make it go away."""

ResourceFixOf = Callable[[Violation | Warn, ResourceObject], Fix]
"""The same for a finding on a resource as it is written."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: its id, its place among the rules (the most important first), its text, and a check for each phase.

    `text` explains the rule to a person; it starts with the id and a colon. `table` gives the lines of a Markdown table
    that the rule reads. `words` gives what the rule reads of a container's command and arguments; it is
    None for a rule that reads none. `annotations` are those of other webhooks that the rule reads. `fix` makes what
    someone can copy for a finding on a pod, `resource_fix` for one of the phase `resource`. With `new_pods_only` its
    preview says nothing of a pod that runs already: its other phase, or the pod's levels, say it.
    `fields` is whether the rule reads a field of that name wherever it stands in a resource.
    """

    id: str
    order: int
    text: str | None
    fix: FixOf | NothingToCopy
    table: Callable[[], list[str]] | None = None
    pod: PodCheck | None = None
    preview: PreviewCheck | None = None
    replaced_pod: ReplacedPodCheck | None = None
    resource: ResourceCheck | None = None
    operator_pod: OperatorPodCheck | None = None
    ephemeral_container: EphemeralContainerCheck | None = None
    policy_reference: PolicyReferenceCheck | None = None
    words: WordsRead | None = None
    annotations: frozenset[str] = frozenset()
    new_pods_only: bool = False
    resource_fix: ResourceFixOf | None = None
    fields: Callable[[str], bool] | None = None

    @property
    def explanation(self) -> str:
        """The text without indentation, and the table below it."""
        text = inspect.cleandoc(self.text or "")
        return "\n".join([text, "", *self.table()]) if self.table else text


PHASES = ("pod", "preview", "replaced_pod", "resource", "operator_pod", "ephemeral_container", "policy_reference")
"""The phases; each is a field of a rule."""

_NO_DOCSTRINGS = sys.flags.optimize >= 2


def ordered(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules in their order.

    Raises:
        ValueError: two rules have the same id or order, or a rule has no check, no explanation or no fix.

    """
    result = tuple(sorted(rules, key=lambda rule: rule.order))
    for rule in result:
        for other in result:
            if other is not rule and (other.id == rule.id or other.order == rule.order):
                raise ValueError(f"rules {rule.id} and {other.id} have the same id or order")
        if not any(getattr(rule, phase) for phase in PHASES):
            raise ValueError(f"rule {rule.id} has no check in any phase")
        if (rule.resource or rule.policy_reference) and not rule.resource_fix:
            raise ValueError(f"rule {rule.id} makes no fix for what it finds in a resource")
        if not _NO_DOCSTRINGS and not rule.explanation.startswith(f"{rule.id}: "):
            raise ValueError(f"the text of rule {rule.id} must start with its id and a colon")
    return result
