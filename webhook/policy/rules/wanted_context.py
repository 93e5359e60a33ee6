"""What a pod and an operator's container must say in their security contexts: the tables, and the resource's own word.

Strict:
  pod        runAsNonRoot, runAsUser, runAsGroup, fsGroup, fsGroupChangePolicy (Kubernetes >= 1.20), seccompProfile
  container  privileged, allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities.drop, runAsUser, runAsGroup,
             runAsNonRoot
A DaemonSet's pod has no runAs fields (it reads the host's files), and a VLAgent collector's container has none either.
A Windows pod takes runAsNonRoot only. With VMGUARD_RUN_AS=platform users, groups and fsGroup are left out.

Knows nothing of what a pod says already. Source: pods that operators v0.54 and v0.74 make with strict security.
"""

from functools import cache
from typing import Any

from webhook.policy.posture import Posture
from webhook.policy.rules.subject import Subject

RUN_AS = ("runAsNonRoot", "runAsUser", "runAsGroup")

STRICT_ID = 65534
"""The user and group `nobody`, which the images of VictoriaMetrics run as."""

_LEFT_TO_PLATFORM = ("runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy")
_WINDOWS = ("runAsNonRoot", "windowsOptions")

_STRICT_POD: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": STRICT_ID,
    "runAsGroup": STRICT_ID,
    "fsGroup": STRICT_ID,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
_STRICT_CONTAINER: dict[str, Any] = {
    "privileged": False,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities/drop": ["ALL"],
    "runAsNonRoot": True,
    "runAsUser": STRICT_ID,
    "runAsGroup": STRICT_ID,
}

POD_FIELDS = (
    "appArmorProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seLinuxChangePolicy",
    "seLinuxOptions",
    "seccompProfile",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "sysctls",
    "windowsOptions",
)
"""What a pod takes of a custom resource's own securityContext."""

CONTAINER_FIELDS = (
    "privileged",
    "capabilities",
    "readOnlyRootFilesystem",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "appArmorProfile",
    "seccompProfile",
)
"""What the operator's containers take of it."""

_SINCE = {"fsGroupChangePolicy": 20, "appArmorProfile": 30, "supplementalGroupsPolicy": 31, "seLinuxChangePolicy": 32}
"""The Kubernetes 1.x minor version that brought a field; an older API server would drop it."""


def wanted_context(subject: Subject, posture: Posture) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields wanted of the pod and of each operator's container; `capabilities/add` and `/drop` stand side by side."""
    if posture.security_context == "strict":
        return _strict(
            subject.in_daemonset,
            subject.in_daemonset and posture.component.runs_as_root_in_daemonset,
            subject.run_as_platform,
            subject.windows,
            subject.minor,
        )
    said = {field: value for field, value in posture.own_context.items() if value not in ([], {})}
    pod, container = projected(said)
    capabilities = container.pop("capabilities", None)
    if isinstance(capabilities, dict):
        container |= {f"capabilities/{side}": capabilities[side] for side in ("add", "drop") if capabilities.get(side)}
    return _allowed(pod, subject.windows, subject.minor), _allowed(container, subject.windows, subject.minor)


def projected(own: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a resource's own securityContext comes to: the pod's part, and that of the operator's containers."""
    said = {field: value for field, value in own.items() if value is not None}
    return (
        {field: said[field] for field in POD_FIELDS if field in said},
        {field: said[field] for field in CONTAINER_FIELDS if field in said},
    )


def nested(context: dict[str, Any]) -> dict[str, Any]:
    """A container's context with `capabilities` as the object that it is."""
    sides = {field.partition("/")[2]: value for field, value in context.items() if "/" in field}
    plain = {field: value for field, value in context.items() if "/" not in field}
    return {**plain, "capabilities": sides} if sides else plain


@cache
def _strict(
    daemonset: bool,  # noqa: FBT001 - a key of the cache
    root: bool,  # noqa: FBT001
    platform: bool,  # noqa: FBT001
    windows: bool,  # noqa: FBT001
    minor: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    left_out = _LEFT_TO_PLATFORM if platform else ()
    pod = {f: v for f, v in _STRICT_POD.items() if f not in left_out and not (daemonset and f in RUN_AS)}
    container = {f: v for f, v in _STRICT_CONTAINER.items() if f not in left_out and not (root and f in RUN_AS)}
    return _allowed(pod, windows, minor), _allowed(container, windows, minor)


def _allowed(wanted: dict[str, Any], windows: bool, minor: int) -> dict[str, Any]:  # noqa: FBT001 - as _strict
    return {
        field: value
        for field, value in wanted.items()
        if _SINCE.get(field, 0) <= minor and (not windows or field in _WINDOWS)
    }
