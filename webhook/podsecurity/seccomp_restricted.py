"""Every container must have a seccomp profile, its own or the pod's.

Fields, of the pod and of every kind of container:
    securityContext.seccompProfile.type

Allowed: "RuntimeDefault", "Localhost"; absent from a container if the pod sets it, absent from the pod if every
container does. Every version since 1.19. From 1.25 not required of pods with spec.os.name "windows", which cannot set
it.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed
from webhook.podsecurity.pod_view import PodView, object_at
from webhook.podsecurity.seccomp_baseline import v1_19 as forbidden_value


def _v1_19(pod: PodView) -> Forbidden | None:
    forbidden = forbidden_value(pod)
    if forbidden is not None:
        return forbidden
    # No value is a bad one from here on, so a profile that is there is a good one.
    if object_at(pod.security, "seccompProfile") is not None:
        return None
    names = [each.name for each in pod.containers if object_at(each.security, "seccompProfile") is None]
    if not names:
        return None
    return Forbidden(
        "seccompProfile",
        f"pod or {listed('container', names)} must set securityContext.seccompProfile.type to "
        '"RuntimeDefault" or "Localhost"',
    )


def _v1_25(pod: PodView) -> Forbidden | None:
    return None if pod.windows else _v1_19(pod)


CHECK = Check(
    "seccompProfile_restricted",
    Level.RESTRICTED,
    ((OLDEST, _v1_19), (25, _v1_25)),
    overrides=("seccompProfile_baseline",),
)
