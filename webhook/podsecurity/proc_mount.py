"""Containers must keep the masks over /proc.

Fields, of every kind of container:
    securityContext.procMount

Allowed: absent, "Default". From 1.35 the baseline level allows any value in a pod with spec.hostUsers false; the
restricted level then has a check of its own that still does not.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed, quoted
from webhook.podsecurity.pod_view import PodView


def _v1_0(pod: PodView) -> Forbidden | None:
    names: list[str] = []
    kinds: set[str] = set()
    for container in pod.containers:
        kind = container.security.get("procMount")
        if isinstance(kind, str) and kind != "Default":  # "" is a value too, and not the default one
            names.append(container.name)
            kinds.add(kind)
    if not names:
        return None
    return Forbidden(
        "procMount",
        f"{listed('container', names)} must not set securityContext.procMount to {quoted(sorted(kinds))}",
    )


def _v1_35(pod: PodView) -> Forbidden | None:
    return None if pod.user_namespace else _v1_0(pod)


BASELINE = Check("procMount", Level.BASELINE, ((OLDEST, _v1_0), (35, _v1_35)))
RESTRICTED = Check("procMount_restricted", Level.RESTRICTED, ((35, _v1_0),), overrides=("procMount",))
