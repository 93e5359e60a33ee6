"""The rules, one file each, and their registry.

A rule is `(subject, posture) -> findings`; nothing else knows a rule by name. What only a person can use, who applies a
resource, is asked of the pods that the resource stands for: `FORESIGHT`, `(prospect, posture) -> findings`. A pod's own
warnings reach nobody.
"""

from collections.abc import Callable

from webhook.policy.findings import Finding
from webhook.policy.posture import Posture
from webhook.policy.rules import (
    api_access,
    api_users,
    pod_security,
    pod_security_policy,
    pod_validity,
    read_only_root,
    security_context,
    sidecar,
    volume_ownership,
)
from webhook.policy.rules.subject import PreviewedPod, Subject

Rule = Callable[[Subject, Posture], list[Finding]]
Foresight = Callable[[PreviewedPod, Posture], list[Finding]]

RULES: tuple[Rule, ...] = (security_context.check, api_access.check, pod_security_policy.check)

FORESIGHT: tuple[Foresight, ...] = (
    volume_ownership.check,
    read_only_root.check,
    sidecar.check,
    api_users.check,
    pod_security.check,
)

MODULES = (
    pod_validity,
    pod_security_policy,
    security_context,
    pod_security,
    api_access,
    sidecar,
    read_only_root,
    volume_ownership,
)
"""One for each rule id; its docstring says what the rule means. What a person must hear first stands first."""

IDS: tuple[str, ...] = tuple(module.ID for module in MODULES)
