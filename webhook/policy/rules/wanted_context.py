"""Which fields a pod's and an operator's container's security contexts must have: strict ones, or the resource's own.

Reads the table of fields, `context_fields`, and nothing of what the pod has.
"""

from functools import cache
from typing import Any

from webhook.policy.context_fields import ROWS, ContextField, ContextLevel
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import Subject


def wanted_context(subject: Subject, posture: Posture) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields wanted of the pod and of each operator's container; `capabilities/add` and `/drop` are fields of it."""
    if posture.security_context == "strict":
        return strict_context_of(subject, posture)
    pod, container = projected(posture.own_context)
    return _existing("pod", flat(pod), subject), _existing("container", flat(container), subject)


def strict_context_of(subject: Subject, posture: Posture) -> tuple[dict[str, Any], dict[str, Any]]:
    """What strict security fills into a pod and into an operator's container, whatever the posture wants."""
    root = runs_as_root(subject, posture)
    return strict_context(subject.in_daemonset, root, subject.run_as_platform, subject.windows, subject.minor)


def runs_as_root(subject: Subject, posture: Posture) -> bool:
    """Whether the component must run as root here, to read the host's files."""
    return subject.in_daemonset and posture.component.runs_as_root_in_daemonset


def projected(own: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parts of a resource's own securityContext that its pod and the operator's containers get."""
    return _own_part("pod", own), _own_part("container", own)


def flat(context: dict[str, Any] | None) -> dict[str, Any]:
    """The fields of a context that are set, by the names of their rows.

    Null and empty count as absent, as the API server drops them.
    """
    present = _set(context or {})
    capabilities = present.get("capabilities")
    if isinstance(capabilities, dict):
        del present["capabilities"]
        present |= {f"capabilities/{member}": value for member, value in _set(capabilities).items()}
    return present


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    return {token(name): value for name, value in fields.items() if value is not None and value not in ([], {})}


def token(name: str) -> str:
    """A name as a token of a JSON pointer, so that no name is taken for the row `capabilities/drop`."""
    return name.replace("~", "~0").replace("/", "~1")


def nested(context: dict[str, Any]) -> dict[str, Any]:
    """The reverse of `flat`."""
    members = {name.partition("/")[2]: value for name, value in context.items() if "/" in name}
    plain = {name: value for name, value in context.items() if "/" not in name}
    return {**plain, "capabilities": members} if members else plain


@cache
def _own_fields(level: ContextLevel) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition("/")[0] for name, row in ROWS[level].items() if row.takes_own(level)))


OWN_FIELDS = (*_own_fields("pod"), *_own_fields("container"))
"""All fields that any level takes from a resource's own securityContext."""


def _own_part(level: ContextLevel, own: dict[str, Any]) -> dict[str, Any]:
    return {field: own[field] for field in _own_fields(level) if own.get(field) is not None}


@cache
def strict_context(
    daemonset: bool,  # noqa: FBT001 - a key of the cache
    root: bool,  # noqa: FBT001
    platform: bool,  # noqa: FBT001
    windows: bool,  # noqa: FBT001
    minor: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What strict security fills into a pod and into an operator's container, by row. Callers share the answer.

    `root` says whether the component must run as root in its DaemonSet.
    """

    def filled(level: ContextLevel, *, without_user: bool) -> dict[str, Any]:
        return {
            name: row.strict
            for name, row in ROWS[level].items()
            if row.fills(level)
            and _exists(row, windows, minor)
            and not (platform and row.platform)
            and not (without_user and row.runs_as)
        }

    return filled("pod", without_user=daemonset), filled("container", without_user=root)


def _existing(level: ContextLevel, context: dict[str, Any], subject: Subject) -> dict[str, Any]:
    rows = ROWS[level]
    return {
        name: value
        for name, value in context.items()
        if name in rows and _exists(rows[name], subject.windows, subject.minor)
    }


def _exists(row: ContextField, windows: bool, minor: int) -> bool:  # noqa: FBT001 - as strict_context
    """Whether an API server of Kubernetes 1.`minor` knows the field, and a pod of that operating system may have it."""
    return row.since <= minor and (row.windows or not windows)
