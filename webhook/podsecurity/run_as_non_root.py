"""Every container must be required not to run as root, by itself or by the pod.

Fields, of the pod and of every kind of container:
    securityContext.runAsNonRoot

Allowed: true; absent from a container if it is true for the pod, absent from the pod if it is true for every
container. Every version. From 1.35 not required of pods with spec.hostUsers false.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed, setters
from webhook.podsecurity.pod_view import PodView

_REASON = "runAsNonRoot != true"


def _v1_0(pod: PodView) -> Forbidden | None:
    by_pod = pod.security.get("runAsNonRoot")
    rooted = [each.name for each in pod.containers if each.security.get("runAsNonRoot") is False]
    if by_pod is False or rooted:
        return Forbidden(
            _REASON, f"{setters(rooted, pod=by_pod is False)} must not set securityContext.runAsNonRoot=false"
        )
    if by_pod is True:
        return None
    silent = [each.name for each in pod.containers if each.security.get("runAsNonRoot") is not True]
    if not silent:
        return None
    return Forbidden(_REASON, f"pod or {listed('container', silent)} must set securityContext.runAsNonRoot=true")


def _v1_35(pod: PodView) -> Forbidden | None:
    return None if pod.user_namespace else _v1_0(pod)


CHECK = Check("runAsNonRoot", Level.RESTRICTED, ((OLDEST, _v1_0), (35, _v1_35)))
