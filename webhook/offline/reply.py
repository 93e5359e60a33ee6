"""The shape of a dry-run answer: every key is always there. Its OpenAPI description is made from these types."""

from typing import Any, Literal

import msgspec

from webhook.admission.patch import Operation
from webhook.policy.findings import Change

LevelName = Literal["privileged", "baseline", "restricted"]

LEVELS: tuple[LevelName, ...] = ("privileged", "baseline", "restricted")
"""The Pod Security levels, the loosest first."""


class WhosePod(msgspec.Struct, frozen=True):
    """Whose pod it is: the custom resource, its component, and how that was found."""

    kind: str
    namespace: str
    name: str
    component: str
    parent: str | None
    source: Literal["chain", "labels"]


class ComponentPosture(msgspec.Struct, frozen=True, rename="camel"):
    """What the pods of one component must look like, and because of which settings."""

    component: str
    security_context: Literal["strict", "custom", "off"]
    api_access: Literal["automount", "explicit"]
    pod_security_policy: str | None
    because: list[str]


class PodChange(msgspec.Struct, frozen=True):
    """One change, with its rule and the setting that requires it; `value` is null for a removal."""

    rule: str
    op: Literal["add", "remove"]
    path: str
    value: Any
    why: str
    source: str


def pod_change(change: Change) -> PodChange:
    """A change that a rule makes, as it is reported."""
    edit = change.edit
    return PodChange(
        rule=change.rule, op=edit.op, path=edit.path, value=edit.value, why=change.why, source=change.source
    )


class PodSecurity(msgspec.Struct, frozen=True):
    """Pod Security levels as asked and as admitted; `reasons` say why the latter is not restricted.

    Of a resource: the lowest that its pods reach without vmguard and with it, and the reasons a component.
    """

    before: LevelName
    after: LevelName
    reasons: list[str]


class DryRunAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """The predicted result for a pod or a resource; `pod` is null for a resource, `pod_security` without any pods."""

    allowed: bool
    message: str
    workload: WhosePod | None
    posture: list[ComponentPosture]
    changes: list[PodChange]
    warnings: list[str]
    patch: list[Operation]
    pod: dict[str, Any] | None
    diff: str
    pod_security: PodSecurity | None
