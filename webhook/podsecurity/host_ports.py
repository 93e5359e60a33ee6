"""Containers must not listen on ports of the node.

Fields, of every kind of container:
    ports[*].hostPort

Allowed: absent, 0. Every version.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed, noun
from webhook.podsecurity.pod_view import PodView, integer_at, objects_at


def _v1_0(pod: PodView) -> Forbidden | None:
    names: list[str] = []
    forbidden: set[str] = set()
    for container in pod.containers:
        ports = [integer_at(port, "hostPort", 32) for port in objects_at(container.fields, "ports")]
        if taken := {str(port) for port in ports if port}:
            names.append(container.name)
            forbidden |= taken
    if not names:
        return None
    verb = "uses" if len(names) == 1 else "use"
    # Sorted as text, so 10 comes before 9: that is the API server's order.
    numbers = ", ".join(sorted(forbidden))
    return Forbidden("hostPort", f"{listed('container', names)} {verb} {noun('hostPort', len(forbidden))} {numbers}")


CHECK = Check("hostPorts", Level.BASELINE, ((OLDEST, _v1_0),))
