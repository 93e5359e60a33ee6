"""Pods may set only sysctls that are safe: namespaced, and without effect on other pods or the node.

Fields:
    spec.securityContext.sysctls[*].name

Allowed: the names in `_ADDED`, each from the minor it stands under.
"""

from functools import cache, partial

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level
from webhook.podsecurity.pod_view import PodView, objects_at, string_at

_ADDED = {
    OLDEST: (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_syncookies",
    ),
    27: ("net.ipv4.ip_local_reserved_ports",),
    29: (
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
    ),
    32: ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
    37: ("net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_slow_start_after_idle"),
}


@cache
def safe(minor: int) -> frozenset[str]:
    """The sysctls that are safe at Kubernetes 1.`minor`."""
    return frozenset(name for added, names in _ADDED.items() if added <= minor for name in names)


def _judge(allowed: frozenset[str], pod: PodView) -> Forbidden | None:
    names = [string_at(sysctl, "name") for sysctl in objects_at(pod.security, "sysctls")]
    forbidden = [name for name in names if name not in allowed]
    return Forbidden("forbidden sysctls", ", ".join(forbidden)) if forbidden else None


CHECK = Check("sysctls", Level.BASELINE, tuple((minor, partial(_judge, safe(minor))) for minor in _ADDED))
