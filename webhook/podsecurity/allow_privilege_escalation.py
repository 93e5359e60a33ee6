"""Containers must not be able to gain privileges, such as by a set-user-ID program.

Fields, of every kind of container:
    securityContext.allowPrivilegeEscalation

Allowed: false. Every version. From 1.25 not required of pods with spec.os.name "windows", which cannot set it.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed
from webhook.podsecurity.pod_view import PodView


def _v1_8(pod: PodView) -> Forbidden | None:
    names = [each.name for each in pod.containers if each.security.get("allowPrivilegeEscalation") is not False]
    if not names:
        return None
    return Forbidden(
        "allowPrivilegeEscalation != false",
        f"{listed('container', names)} must set securityContext.allowPrivilegeEscalation=false",
    )


def _v1_25(pod: PodView) -> Forbidden | None:
    return None if pod.windows else _v1_8(pod)


CHECK = Check("allowPrivilegeEscalation", Level.RESTRICTED, ((OLDEST, _v1_8), (25, _v1_25)))
