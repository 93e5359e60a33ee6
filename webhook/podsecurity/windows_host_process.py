"""Windows pods must not run as processes of the node.

Fields, of the pod and of every kind of container:
    securityContext.windowsOptions.hostProcess

Allowed: absent, false. Every version.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, setters
from webhook.podsecurity.pod_view import Json, PodView, object_at


def _host_process(security: Json) -> bool:
    options = object_at(security, "windowsOptions")
    return options is not None and options.get("hostProcess") is True


def _v1_0(pod: PodView) -> Forbidden | None:
    names = [container.name for container in pod.containers if _host_process(container.security)]
    who = setters(names, pod=_host_process(pod.security))
    if not who:
        return None
    return Forbidden("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true")


CHECK = Check("windowsHostProcess", Level.BASELINE, ((OLDEST, _v1_0),))
