"""The rules, one file each, and their registry.

A rule is `(subject, posture) -> findings`; nothing else knows a rule by name.
"""

from collections.abc import Callable

from webhook.policy.findings import Finding
from webhook.policy.posture import Posture
from webhook.policy.rules import api_access, pod_security_policy, security_context
from webhook.policy.rules.subject import Subject

Rule = Callable[[Subject, Posture], list[Finding]]

RULES: tuple[Rule, ...] = (security_context.check, api_access.check, pod_security_policy.check)

IDS: tuple[str, ...] = (security_context.ID, api_access.ID, pod_security_policy.ID)
