"""pod-validity: a security context that no pod can have, in any cluster.

The API server refuses such a pod, or no kubelet starts it, so the resource that asks for it is denied: the person who
applies it hears of it, and not a controller's event.

    allowPrivilegeEscalation: false with privileged: true, or with CAP_SYS_ADMIN added
    runAsNonRoot: true with runAsUser: 0 in one and the same context, for a container that has no user of its own; a
        patch over an operator's container counts with the resource's own context
    seccompProfile, appArmorProfile (Kubernetes >= 1.30): an unknown type; Localhost without localhostProfile or with
        one that is no relative path below the kubelet's folder; another type with localhostProfile
    runAsUser, runAsGroup, fsGroup, supplementalGroups: not from 0 to 2147483647
    fsGroupChangePolicy; supplementalGroupsPolicy, seLinuxChangePolicy, procMount (Kubernetes >= 1.33): an unknown value
    sysctls: a name that is none, or twice the same
    windowsOptions: names that Windows has not; hostProcess (Kubernetes >= 1.23) of some containers only, or without
        hostNetwork

The API server accepts `runAsNonRoot: true` with `runAsUser: 0`; the kubelet never starts such a container
(CreateContainerConfigError). A container that runs as root in a pod that says otherwise is a contradiction of two
places: `security-context` warns.

An update is denied for a fault that it brings, never for one that was there. Source: API server validation, Kubernetes
1.37, held against it by the tests.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from webhook.policy.accepted_values import LARGEST_ID
from webhook.policy.context_fields import ROWS
from webhook.policy.json_access import objects_of
from webhook.policy.rules.windows_options import of_host, wrong_options

ID = "pod-validity"

_HOST_PROCESS_SINCE = 23
_TYPES = ("RuntimeDefault", "Localhost", "Unconfined")
_GROUPS = ("containers", "initContainers")
_IDS = ("runAsUser", "runAsGroup")
_OF_POD = {
    "fsGroupChangePolicy": (0, ("OnRootMismatch", "Always")),
    "supplementalGroupsPolicy": (33, ("Merge", "Strict")),
    "seLinuxChangePolicy": (33, ("Recursive", "MountOption")),
}
_OF_CONTAINER = {"procMount": (33, ("Default", "Unmasked"))}
"""What may stand in a field, from the Kubernetes 1.x minor version on that no longer drops it by default."""

_SYSCTL = re.compile(r"(?:[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?")
_LONGEST_SYSCTL = 253


class Fault(msgspec.Struct, frozen=True):
    """One fault: the container whose context has it and its list, "" for the pod's; `found` is all that contradicts."""

    group: str
    container: str
    found: dict[str, Any]
    why: str


def faults(spec: dict[str, Any], minor: int) -> list[Fault]:
    """What makes a raw pod spec impossible at Kubernetes 1.`minor`."""
    pod = _context(spec)
    found = [Fault("", "", said, why) for said, why in (*_of_any(pod, minor), *_of_pod(pod, minor))]
    for group in _GROUPS:
        for container in spec.get(group) or ():
            context, name = _context(container), str(container.get("name") or "")
            wrong = (*_of_any(context, minor), *_values(context, _OF_CONTAINER, minor), *_escalation(context))
            found += [Fault(group, name, said, why) for said, why in wrong]
            root = _root(context)
            if root is None and not context.keys() & {"runAsNonRoot", "runAsUser"}:
                found += [Fault("", "", *fault) for fault in (_root(pod),) if fault]
            elif root:
                found.append(Fault(group, name, *root))
    return found + [Fault(*fault) for fault in of_host(spec)] if minor >= _HOST_PROCESS_SINCE else found


def _context(holder: dict[str, Any]) -> dict[str, Any]:
    context = holder.get("securityContext")
    return {field: value for field, value in context.items() if value is not None} if isinstance(context, dict) else {}


def _of_any(context: dict[str, Any], minor: int) -> Iterator[tuple[dict[str, Any], str]]:
    """What is wrong with a context, be it a pod's or a container's."""
    yield from _profile("seccompProfile", context)
    if minor >= ROWS["pod"]["appArmorProfile"].since:
        yield from _profile("appArmorProfile", context)
    yield from _ids(context, _IDS)
    yield from wrong_options(context)


def _of_pod(pod: dict[str, Any], minor: int) -> Iterator[tuple[dict[str, Any], str]]:
    """What is wrong with a pod's context in fields that a container's has not."""
    yield from _ids(pod, ("fsGroup",))
    groups = pod.get("supplementalGroups")
    if isinstance(groups, list) and not all(map(_is_id, groups)):
        yield {"supplementalGroups": groups}, f"supplementalGroups must each be from 0 to {LARGEST_ID}"
    yield from _values(pod, _OF_POD, minor)
    names = [name for each in objects_of(pod.get("sysctls")) if isinstance(name := each.get("name", ""), str)]
    counts = Counter(names)
    for name in counts:
        if len(name) > _LONGEST_SYSCTL or not _SYSCTL.fullmatch(name):
            yield {"sysctls": name}, "that is no name of a sysctl"
        elif counts[name] > 1:
            yield {"sysctls": name}, "the same sysctl must not be set twice"


def _ids(context: dict[str, Any], fields: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], str]]:
    for field in fields:
        if field in context and not _is_id(context[field]):
            yield {field: context[field]}, f"{field} must be from 0 to {LARGEST_ID}"


def _values(
    context: dict[str, Any], fields: Mapping[str, tuple[int, tuple[str, ...]]], minor: int
) -> Iterator[tuple[dict[str, Any], str]]:
    for field, (since, allowed) in fields.items():
        if field in context and minor >= since and context[field] not in allowed:
            yield {field: context[field]}, f"{field} must be {' or '.join(allowed)}"


def _is_id(value: Any) -> bool:
    return type(value) is not int or 0 <= value <= LARGEST_ID  # what is no number never gets past the definition


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
