"""The registry of rules: every module of this package but PARTS has a RULE, and each phase is one function here.

Callers run the rules of a phase and know no rule. To add a rule, add a file with its record.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from webhook.policy.findings import Finding, Fix, NothingToCopy, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.rule import Rule, ordered
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

PARTS = frozenset(
    {
        "api_users",
        "commands_run",
        "context_corrections",
        "context_filling",
        "field_moves",
        "field_names",
        "hardening",
        "owner_changers",
        "replaced_users",
        "root_permission",
        "root_programs",
        "rule",
        "subject",
        "token_fixes",
        "token_injectors",
        "wanted_context",
        "windows_options",
    }
)
"""Modules that rules share or are split into. Every other module is a rule, so that none can be lost silently."""


def rules_in(modules: Mapping[str, ModuleType]) -> tuple[Rule, ...]:
    """The rules of modules by their names, in their order.

    Raises:
        ValueError: a module that is no part has no RULE, or as `ordered`.

    """
    without = [name for name, module in modules.items() if name not in PARTS and not hasattr(module, "RULE")]
    if without:
        raise ValueError(f"modules of rules without a RULE: {', '.join(without)}")
    return ordered(module.RULE for name, module in modules.items() if name not in PARTS)


_MODULES = {module.name: import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)}

RULES: tuple[Rule, ...] = rules_in(_MODULES)
"""All rules, the most important first: their findings come in this order."""

IDS: tuple[str, ...] = tuple(rule.id for rule in RULES)

_WORDS = tuple(rule.words for rule in RULES if rule.words)
_POD = tuple(rule.pod for rule in RULES if rule.pod)
_PREVIEW = tuple(rule.preview for rule in RULES if rule.preview)
_RUNNING = tuple(rule.preview for rule in RULES if rule.preview and not rule.new_pods_only)
_REPLACED_POD = tuple(rule.replaced_pod for rule in RULES if rule.replaced_pod)
_RESOURCE = tuple(rule.resource for rule in RULES if rule.resource)
_OPERATOR_POD = tuple(rule.operator_pod for rule in RULES if rule.operator_pod)
_EPHEMERAL_CONTAINER = tuple(rule.ephemeral_container for rule in RULES if rule.ephemeral_container)
_POLICY_REFERENCE = tuple(rule.policy_reference for rule in RULES if rule.policy_reference)


def words_read(container: dict[str, Any]) -> list[str]:
    """The words in the command and arguments of a container that rules read; of these alone they find the same."""
    return [word for read in _WORDS for word in read(container)]


_FIELDS = tuple(rule.fields for rule in RULES if rule.fields)


def reads_field(name: str) -> bool:
    """Whether a rule reads a field of that name wherever it stands in a resource."""
    return any(reads(name) for reads in _FIELDS)


FOREIGN_ANNOTATIONS = frozenset(each for rule in RULES for each in rule.annotations)
"""The annotations of other webhooks that rules read."""


def check_pod(subject: Subject, posture: Posture) -> list[Finding]:
    """Findings for a pod at admission."""
    return [finding for check in _POD for finding in check(subject, posture)]


def check_preview(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for a predicted pod that help only the person who applies its resource."""
    return [finding for check in _PREVIEW for finding in check(pod, posture)]


def check_running(pod: PreviewedPod, posture: Posture) -> list[Warn]:
    """Warnings about a pod that runs already, as it will be admitted once it is created again."""
    return [finding for check in _RUNNING for finding in check(pod, posture) if isinstance(finding, Warn)]


def check_replaced_pod(pod: ReplacedPod) -> list[Warn]:
    """Warnings about what changes when a running pod is created again."""
    return [warning for check in _REPLACED_POD for warning in check(pod)]


def check_resource(resource: ResourceObject) -> list[Warn]:
    """Warnings about a custom resource as it is written."""
    return [warning for check in _RESOURCE for warning in check(resource)]


def check_operator_pod(pod: OperatorPod) -> list[Violation]:
    """Values that no pod can have, in a predicted pod without vmguard's changes."""
    return [violation for check in _OPERATOR_POD for violation in check(pod)]


def check_ephemeral_container(container: EphemeralContainer, posture: Posture) -> list[Finding]:
    """Findings for a new ephemeral container."""
    return [finding for check in _EPHEMERAL_CONTAINER for finding in check(container, posture)]


def check_policy_reference(reference: PolicyReference, *, of_pod: bool) -> list[Finding]:
    """Findings for a PodSecurityPolicy that a resource names, for itself or, with `of_pod`, as its pods will."""
    return [finding for check in _POLICY_REFERENCE for finding in check(reference, of_pod)]


def fix_of(finding: Violation | Warn, pod: FlawedPod) -> Fix | None:
    """What someone can copy to make a finding on a pod go away; None for a rule without, or for no rule."""
    rule = next((each for each in RULES if each.id == finding.rule), None)
    if rule is None or isinstance(rule.fix, NothingToCopy):
        return None
    return rule.fix(finding, pod)


def resource_fix_of(finding: Violation | Warn, resource: ResourceObject) -> Fix | None:
    """The same for a finding on a resource as it is written."""
    rule = next((each for each in RULES if each.id == finding.rule), None)
    return rule.resource_fix(finding, resource) if rule and rule.resource_fix else None
