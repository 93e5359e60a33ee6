"""Containers must drop all capabilities and may add back only NET_BIND_SERVICE.

Fields, of every kind of container:
    securityContext.capabilities.drop
        Allowed: lists with "ALL" among them.
    securityContext.capabilities.add
        Allowed: absent, empty, "NET_BIND_SERVICE".

From 1.22. From 1.25 not required of pods with spec.os.name "windows", which cannot set it.
"""

from webhook.podsecurity.check import Check, Forbidden, Level, listed, quoted
from webhook.podsecurity.pod_view import PodView, object_at, strings_at

ADDABLE = frozenset({"NET_BIND_SERVICE"})
"""Capabilities that a restricted container may add."""


def _v1_22(pod: PodView) -> Forbidden | None:
    keeping: list[str] = []
    adding: list[str] = []
    added: set[str] = set()
    for container in pod.containers:
        capabilities = object_at(container.security, "capabilities") or {}
        if "ALL" not in strings_at(capabilities, "drop"):
            keeping.append(container.name)
        if beyond := set(strings_at(capabilities, "add")) - ADDABLE:
            adding.append(container.name)
            added |= beyond
    details = []
    if keeping:
        details.append(f'{listed("container", keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        details.append(
            f"{listed('container', adding)} must not include {quoted(sorted(added))} in "
            "securityContext.capabilities.add"
        )
    return Forbidden("unrestricted capabilities", "; ".join(details)) if details else None


def _v1_25(pod: PodView) -> Forbidden | None:
    return None if pod.windows else _v1_22(pod)


CHECK = Check(
    "capabilities_restricted",
    Level.RESTRICTED,
    ((22, _v1_22), (25, _v1_25)),
    overrides=("capabilities_baseline",),
)
