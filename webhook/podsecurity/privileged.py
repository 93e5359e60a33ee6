"""Containers must not be privileged: such a container has almost all rights of root on the node.

Fields, of every kind of container:
    securityContext.privileged

Allowed: absent, false. Every version.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed
from webhook.podsecurity.pod_view import PodView


def _v1_0(pod: PodView) -> Forbidden | None:
    names = [container.name for container in pod.containers if container.security.get("privileged") is True]
    if not names:
        return None
    return Forbidden("privileged", f"{listed('container', names)} must not set securityContext.privileged=true")


CHECK = Check("privileged", Level.BASELINE, ((OLDEST, _v1_0),))
