"""pod-validity: a security context that no pod can have, in any cluster.

The API server refuses such a pod, or no kubelet starts it, so the resource that asks for it is denied: the person who
applies it hears of it, and not a controller's event.

    allowPrivilegeEscalation: false with privileged: true, or with CAP_SYS_ADMIN added
    runAsNonRoot: true with runAsUser: 0 in one and the same context, for a container that has no user of its own
    seccompProfile, appArmorProfile (Kubernetes >= 1.30): an unknown type; Localhost without localhostProfile or with
        one that is no relative path below the kubelet's folder; another type with localhostProfile
    runAsUser, runAsGroup, fsGroup, supplementalGroups: not from 0 to 2147483647

The API server accepts `runAsNonRoot: true` with `runAsUser: 0`; the kubelet never starts such a container
(CreateContainerConfigError). A container that runs as root in a pod that says otherwise is a contradiction of two
places: `security-context` warns.

An update is denied for a fault that it brings, never for one that was there. Source: API server validation, Kubernetes
1.37, held against it by the tests.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

ID = "pod-validity"

APP_ARMOR_SINCE = 30
_TYPES = ("RuntimeDefault", "Localhost", "Unconfined")
_LARGEST_ID = 2**31 - 1
_GROUPS = ("containers", "initContainers")


class Fault(msgspec.Struct, frozen=True):
    """One fault: the container whose context has it and its list, "" for the pod's; `found` is all that contradicts."""

    group: str
    container: str
    found: dict[str, Any]
    why: str


def faults(spec: dict[str, Any], minor: int) -> list[Fault]:
    """What makes a raw pod spec impossible at Kubernetes 1.`minor`."""
    pod = _context(spec)
    found = [Fault("", "", said, why) for said, why in _of_any(pod, minor)]
    for group in _GROUPS:
        for container in spec.get(group) or ():
            context, name = _context(container), str(container.get("name") or "")
            found += [Fault(group, name, said, why) for said, why in (*_of_any(context, minor), *_escalation(context))]
            root = _root(context)
            if root is None and not context.keys() & {"runAsNonRoot", "runAsUser"}:
                found += [Fault("", "", *fault) for fault in (_root(pod),) if fault]
            elif root:
                found.append(Fault(group, name, *root))
    return found


def _context(holder: dict[str, Any]) -> dict[str, Any]:
    context = holder.get("securityContext")
    return {field: value for field, value in context.items() if value is not None} if isinstance(context, dict) else {}


def _of_any(context: dict[str, Any], minor: int) -> Iterator[tuple[dict[str, Any], str]]:
    """What is wrong with a context, be it a pod's or a container's."""
    yield from _profile("seccompProfile", context)
    if minor >= APP_ARMOR_SINCE:
        yield from _profile("appArmorProfile", context)
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        if field in context and not _is_id(context[field]):
            yield {field: context[field]}, f"{field} must be from 0 to {_LARGEST_ID}"
    groups = context.get("supplementalGroups")
    if isinstance(groups, list) and not all(map(_is_id, groups)):
        yield {"supplementalGroups": groups}, f"supplementalGroups must each be from 0 to {_LARGEST_ID}"


def _is_id(value: Any) -> bool:
    return type(value) is not int or 0 <= value <= _LARGEST_ID  # what is no number never gets past the definition


def _profile(field: str, context: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    profile = context.get(field)
    if not isinstance(profile, dict):
        return
    kind, local = profile.get("type"), profile.get("localhostProfile")
    if kind not in _TYPES:
        yield {field: profile}, f"{field}.type must be RuntimeDefault, Localhost or Unconfined"
    elif kind != "Localhost" and local is not None:
        yield {field: profile}, f"{field}.localhostProfile goes with type Localhost only"
    elif kind == "Localhost" and local is None:
        yield {field: profile}, f"{field}.localhostProfile must be set for type Localhost"
    elif kind == "Localhost" and not _is_local(field, str(local)):
        allowed = "a relative path without .." if field == "seccompProfile" else "the name of a loaded profile"
        yield {field: profile}, f"{field}.localhostProfile must be {allowed}"


def _is_local(field: str, name: str) -> bool:
    if field == "appArmorProfile":
        return bool(name) and name == name.strip() and len(name.encode()) <= 4095
    return not name.startswith("/") and ".." not in name.split("/")


def _escalation(context: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    if context.get("allowPrivilegeEscalation") is not False:
        return
    said = {"allowPrivilegeEscalation": False}
    if context.get("privileged") is True:
        yield {**said, "privileged": True}, "a privileged container always may escalate"
    capabilities = context.get("capabilities")
    added = capabilities.get("add") if isinstance(capabilities, dict) else None
    if isinstance(added, list) and "CAP_SYS_ADMIN" in added:
        yield {**said, "capabilities.add": "CAP_SYS_ADMIN"}, "a container with CAP_SYS_ADMIN always may escalate"


def _root(context: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") != 0:
        return None
    return {"runAsNonRoot": True, "runAsUser": 0}, "no kubelet starts a container that must not be root as root"
