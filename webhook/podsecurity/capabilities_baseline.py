"""Containers may add no capability beyond those a container runtime gives by default; NET_RAW is not among them.

Fields, of every kind of container:
    securityContext.capabilities.add

Allowed: absent, empty, and the names in `_DEFAULT`. Every version.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed, quoted
from webhook.podsecurity.pod_view import PodView, object_at, strings_at

_DEFAULT = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)


def _v1_0(pod: PodView) -> Forbidden | None:
    names: list[str] = []
    capabilities: set[str] = set()
    for container in pod.containers:
        added = strings_at(object_at(container.security, "capabilities") or {}, "add")
        if beyond := set(added) - _DEFAULT:
            names.append(container.name)
            capabilities |= beyond
    if not names:
        return None
    return Forbidden(
        "non-default capabilities",
        f"{listed('container', names)} must not include {quoted(sorted(capabilities))} in "
        "securityContext.capabilities.add",
    )


CHECK = Check("capabilities_baseline", Level.BASELINE, ((OLDEST, _v1_0),))
