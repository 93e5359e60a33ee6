"""Probes and lifecycle handlers must not name a host: the kubelet would send requests from the node to anywhere.

Fields, of every kind of container, each with httpGet.host and tcpSocket.host:
    livenessProbe, readinessProbe, startupProbe, lifecycle.postStart, lifecycle.preStop

Allowed: absent, "". From 1.34.
"""

from webhook.podsecurity.check import Check, Forbidden, Level, listed
from webhook.podsecurity.pod_view import ContainerView, Json, PodView, object_at, string_at

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")
_ACTIONS = ("httpGet", "tcpSocket")


def _handlers(container: ContainerView) -> list[Json]:
    handlers = [container.fields.get(probe) for probe in _PROBES]
    lifecycle = object_at(container.fields, "lifecycle")
    if lifecycle:
        handlers += [lifecycle.get(hook) for hook in _HOOKS]
    return [handler for handler in handlers if isinstance(handler, dict)]


def _hosts(container: ContainerView) -> set[str]:
    hosts = set()
    for handler in _handlers(container):
        for action in _ACTIONS:
            target = object_at(handler, action)
            if target and (host := string_at(target, "host")):
                hosts.add(host)
    return hosts


def _v1_34(pod: PodView) -> Forbidden | None:
    names: set[str] = set()
    hosts: set[str] = set()
    for container in pod.containers:
        if named := _hosts(container):
            names.add(container.name)
            hosts |= named
    if not names:
        return None
    verb = "uses" if len(names) == 1 else "use"
    # The only check whose containers are sorted by name rather than in the pod's order.
    return Forbidden(
        "probe or lifecycle host",
        f"{listed('container', sorted(names))} {verb} {listed('probe or lifecycle host', sorted(hosts))}",
    )


CHECK = Check("hostProbesAndHostLifecycle", Level.BASELINE, ((34, _v1_34),))
