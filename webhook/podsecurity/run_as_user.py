"""Neither pod nor container may set root as its user.

Fields, of the pod and of every kind of container:
    securityContext.runAsUser

Allowed: absent, anything but 0. From 1.23. From 1.35 not required of pods with spec.hostUsers false.
"""

from webhook.podsecurity.check import Check, Forbidden, Level, setters
from webhook.podsecurity.pod_view import Json, PodView, integer_at


def _root(security: Json) -> bool:
    return integer_at(security, "runAsUser", 64) == 0


def _v1_23(pod: PodView) -> Forbidden | None:
    who = setters([each.name for each in pod.containers if _root(each.security)], pod=_root(pod.security))
    return Forbidden("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def _v1_35(pod: PodView) -> Forbidden | None:
    return None if pod.user_namespace else _v1_23(pod)


CHECK = Check("runAsUser", Level.RESTRICTED, ((23, _v1_23), (35, _v1_35)))
