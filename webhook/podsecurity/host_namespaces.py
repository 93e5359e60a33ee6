"""Pods must not share the node's network, process or IPC namespace.

Fields:
    spec.hostNetwork, spec.hostPID, spec.hostIPC

Allowed: absent, false. Every version.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level
from webhook.podsecurity.pod_view import PodView

_FIELDS = ("hostNetwork", "hostPID", "hostIPC")


def _v1_0(pod: PodView) -> Forbidden | None:
    shared = [field for field in _FIELDS if pod.spec.get(field) is True]
    if not shared:
        return None
    return Forbidden("host namespaces", ", ".join(f"{field}=true" for field in shared))


CHECK = Check("hostNamespaces", Level.BASELINE, ((OLDEST, _v1_0),))
