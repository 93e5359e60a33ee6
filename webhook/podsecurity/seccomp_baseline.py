"""Pods must not turn seccomp off.

Fields, of the pod and of every kind of container:
    securityContext.seccompProfile.type

Allowed: seccompProfile absent, "RuntimeDefault", "Localhost". Every version since 1.19.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, quoted, setters
from webhook.podsecurity.pod_view import Json, PodView, object_at, string_at

TYPES = frozenset({"RuntimeDefault", "Localhost"})
"""Profile types that confine a container."""


def _bad_type(security: Json) -> str | None:
    profile = object_at(security, "seccompProfile")
    if profile is None:
        return None
    kind = string_at(profile, "type")
    return None if kind in TYPES else kind


def v1_19(pod: PodView) -> Forbidden | None:
    """What the pod sets that no level above privileged allows; the restricted check begins with it too."""
    by_pod = _bad_type(pod.security)
    names: list[str] = []
    kinds = set() if by_pod is None else {by_pod}
    for container in pod.containers:
        kind = _bad_type(container.security)
        if kind is not None:
            names.append(container.name)
            kinds.add(kind)
    if not kinds:
        return None
    return Forbidden(
        "seccompProfile",
        f"{setters(names, pod=by_pod is not None)} must not set securityContext.seccompProfile.type to "
        f"{quoted(sorted(kinds))}",
    )


CHECK = Check("seccompProfile_baseline", Level.BASELINE, ((OLDEST, v1_19),))
