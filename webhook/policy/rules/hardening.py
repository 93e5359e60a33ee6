"""The fields without which a container of the user's does not pass Pod Security restricted. A part of `sidecar`."""

from typing import Any

from webhook.podsecurity import Reason, evaluate
from webhook.policy.json_access import Raw, joined, object_of, objects_of


def reasons_of(container: dict[str, Any], spec: dict[str, Any], minor: int) -> tuple[Reason, ...]:
    """Why a container alone in its pod would not be restricted."""
    shared = {field: spec[field] for field in ("securityContext", "os", "hostUsers") if field in spec}
    return evaluate({"spec": {**shared, "containers": [container]}}, minor).reasons


_PROFILE = {"type": "RuntimeDefault", "localhostProfile": None}

_HARDER: tuple[Raw, ...] = (
    {"allowPrivilegeEscalation": False},
    {"privileged": False},
    {"capabilities": {"drop": ["ALL"]}},
    {"capabilities": {"drop": ["ALL"], "add": []}},
    {"seccompProfile": _PROFILE},
    {"runAsNonRoot": True},
    {"runAsUser": None, "runAsNonRoot": None},
    {"appArmorProfile": _PROFILE},
    {"seLinuxOptions": None},
    {"procMount": None},
    {"windowsOptions": {"hostProcess": None}},
)
"""Fields of a container's security context that Pod Security restricted may require; null leaves it to the pod."""

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe", "postStart", "preStop")


CHECK_IMAGE = "Check that the image needs no user, capability or port that this takes away."


def hardened(container: Raw, spec: Raw, minor: int) -> Raw:
    """The fields without which a container of a pod's raw spec does not pass, as few as possible."""
    context: Raw = {}
    reasons = reasons_of(container, spec, minor)
    for change in _HARDER:
        tried = joined(context, change)
        left = reasons_of(joined(container, {"securityContext": tried}), spec, minor)
        if len(left) < len(reasons):
            context, reasons = tried, left
    changes: Raw = {"securityContext": context} if context else {}
    ports = [
        {"containerPort": each.get("containerPort"), "hostPort": None}
        for each in objects_of(container.get("ports"))
        if each.get("hostPort")
    ]
    return {**changes, **({"ports": ports} if ports else {}), **_without_hosts(container)}


def _without_hosts(container: Raw) -> Raw:
    """The probes and hooks of a container that name a host, without it."""
    found: Raw = {}
    for field, value in (*container.items(), *object_of(container.get("lifecycle")).items()):
        handlers = {
            action: {"host": None}
            for action in ("httpGet", "tcpSocket")
            if field in _PROBES and object_of(object_of(value).get(action)).get("host")
        }
        if handlers and field in container:
            found[field] = handlers
        elif handlers:
            found["lifecycle"] = {**found.get("lifecycle", {}), field: handlers}
    return found
