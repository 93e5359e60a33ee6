"""The warnings that a person gets when they apply a resource, about the pods that it will produce."""

from typing import Any

from tests.support.sample_pods import decide, resource

PASSES_RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""A container's security context that passes Pod Security restricted in a strict pod."""

CLAIM = {"storage": {"resources": {"requests": {"storage": "1Gi"}}}}
"""The fields of a resource that put its data on a claim."""


def warnings_on(kind: str, spec: dict[str, Any], rule: str | None = None, **more: Any) -> list[str]:
    """The warnings on a new resource on Kubernetes 1.37, of one rule or of all; `more` is passed on to `decide`."""
    decision = decide(resource(kind, spec=spec), [], webhook="validate", minor=37, **more)
    assert decision.allowed, decision.message
    return [each for each in decision.warnings if rule is None or each.endswith(f"[{rule}]")]
