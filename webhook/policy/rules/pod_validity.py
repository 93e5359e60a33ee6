"""pod-validity: a security context that no pod can have, in any cluster.

vmguard denies a resource whose pods would have such a context. The person who applies the resource sees the reason at
once. These are the cases:

- `allowPrivilegeEscalation: false` with `privileged: true`, or with CAP_SYS_ADMIN added
- `runAsNonRoot: true` with `runAsUser: 0` for one container, from one context or from two that count together
- `seccompProfile`, `appArmorProfile` (Kubernetes >= 1.30): an unknown type; Localhost without `localhostProfile`, or
  with one that is no relative path below the kubelet's folder; another type with `localhostProfile`
- `runAsUser`, `runAsGroup`, `fsGroup`, `supplementalGroups`: not from 0 to 2147483647
- `fsGroupChangePolicy`: an unknown value
- `supplementalGroupsPolicy`, `seLinuxChangePolicy`, `procMount` (Kubernetes >= 1.33): an unknown value
- `sysctls`: a name that no sysctl has, or the same name twice; a sysctl of the network (`net.*`) with `hostNetwork`
- `windowsOptions`: a name that Windows does not allow; `hostProcess` (Kubernetes >= 1.23) of some containers only, or
  without `hostNetwork`

vmguard denies an update only for a violation that the update brings. It does not deny one that was there before.

Why: the API server refuses such a pod, or no kubelet starts it. The API server accepts `runAsNonRoot: true` with
`runAsUser: 0`, but the kubelet reports CreateContainerConfigError. A container that runs as root in a pod with
`runAsNonRoot: true` is reported by `security-context`.

What to do: correct the field that the message names. To run as another user than root:

    securityContext: {runAsNonRoot: true, runAsUser: 65534, runAsGroup: 65534, fsGroup: 65534}

To run as root:

    securityContext: {runAsNonRoot: false, runAsUser: 0}

Source: API server validation of Kubernetes 1.37; tests compare both.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from webhook.policy.accepted_values import LARGEST_ID
from webhook.policy.context_fields import NOBODY, ROWS
from webhook.policy.findings import Fix, Violation, Warn
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import FlawedPod, OperatorPod, sysctl_name
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


Fault = tuple[Raw, str]
"""The fields of one context that make a pod impossible, with their values, and why."""


def check(pod: OperatorPod) -> list[Violation]:
    """What makes a pod impossible; the path of each violation is that of the context, `found` has all its fields."""
    return [
        Violation(ID, f"{holder}/securityContext", found, "a context that a pod can have", why, "", denies=True)
        for holder, (found, why) in _faults(pod.spec, pod.minor)
    ]


def _faults(spec: Raw, minor: int) -> Iterator[tuple[str, Fault]]:
    """JSON pointer of the pod's spec or the container whose context has the fault, and the fault."""
    pod = _context(spec)
    for fault in (*_of_any(pod, minor), *_of_pod(pod, minor), *_of_network(spec, pod)):
        yield "/spec", fault
    for group in _GROUPS:
        for index, container in enumerate(spec.get(group) or ()):
            context, holder = _context(container), f"/spec/{group}/{index}"
            for fault in (*_of_any(context, minor), *_values(context, _OF_CONTAINER, minor), *_escalation(context)):
                yield holder, fault
            if context.keys().isdisjoint({"runAsNonRoot", "runAsUser"}):
                yield from (("/spec", fault) for fault in _root(pod))
            yield from ((holder, fault) for fault in _root(context))
    if minor >= _HOST_PROCESS_SINCE:
        yield from of_host(spec)


def _context(holder: Raw) -> Raw:
    context = holder.get("securityContext")
    return {field: value for field, value in context.items() if value is not None} if isinstance(context, dict) else {}


def _of_any(context: Raw, minor: int) -> Iterator[Fault]:
    """What is wrong with a context, of a pod or of a container."""
    yield from _profile("seccompProfile", context)
    if minor >= ROWS["pod"]["appArmorProfile"].since:
        yield from _profile("appArmorProfile", context)
    yield from _ids(context, _IDS)
    yield from wrong_options(context)


def _of_pod(pod: Raw, minor: int) -> Iterator[Fault]:
    """What is wrong with a pod's context in fields that a container's does not have."""
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


def _of_network(spec: Raw, pod: Raw) -> Iterator[Fault]:
    """The sysctls of the network where the pod has that of its node.

    Every kubelet refuses such a pod (`allowlist.go`), and the API server too (`ValidateHostSysctl`; 1.27 does not yet).
    """
    if spec.get("hostNetwork") is True:
        for each in objects_of(pod.get("sysctls")):
            if _is_of_network(each):
                yield {"sysctls": each.get("name")}, "no pod with hostNetwork: true may set a sysctl of the network"


def _is_of_network(sysctl: Raw) -> bool:
    return sysctl_name(sysctl).startswith("net.")


def _ids(context: Raw, fields: tuple[str, ...]) -> Iterator[Fault]:
    for field in fields:
        if field in context and not _is_id(context[field]):
            yield {field: context[field]}, f"{field} must be from 0 to {LARGEST_ID}"


def _values(context: Raw, fields: Mapping[str, tuple[int, tuple[str, ...]]], minor: int) -> Iterator[Fault]:
    for field, (since, allowed) in fields.items():
        if field in context and minor >= since and context[field] not in allowed:
            yield {field: context[field]}, f"{field} must be {' or '.join(allowed)}"


def _is_id(value: Any) -> bool:
    return type(value) is not int or 0 <= value <= LARGEST_ID  # the CRD's schema admits numbers only


def _profile(field: str, context: Raw) -> Iterator[Fault]:
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


def _escalation(context: Raw) -> Iterator[Fault]:
    if context.get("allowPrivilegeEscalation") is not False:
        return
    denied = {"allowPrivilegeEscalation": False}
    if context.get("privileged") is True:
        yield {**denied, "privileged": True}, "a privileged container always may escalate"
    capabilities = context.get("capabilities")
    added = capabilities.get("add") if isinstance(capabilities, dict) else None
    if isinstance(added, list) and "CAP_SYS_ADMIN" in added:
        yield {**denied, "capabilities.add": "CAP_SYS_ADMIN"}, "a container with CAP_SYS_ADMIN always may escalate"


def _root(context: Raw) -> Iterator[Fault]:
    if context.get("runAsNonRoot") is True and context.get("runAsUser") == 0:
        yield {"runAsNonRoot": True, "runAsUser": 0}, "no kubelet starts a container that must not be root as root"


_PROFILES = ("seccompProfile", "appArmorProfile")
_STAY = ("runAsNonRoot", "allowPrivilegeEscalation")
"""Fields that are right where another one contradicts them."""


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """The fields of the context with values that a pod can have, in the container's context or the component's."""
    assert isinstance(finding, Violation)  # noqa: S101 - this rule gives no other
    name = pod.at(finding.path)
    own, common = pod.contexts_set.get(name, {}), object_of(pod.part.get("securityContext"))
    fields: Raw = {}
    for field in [each for each in finding.found if each not in _STAY or len(finding.found) == 1]:
        outer, _, inner = field.partition(".")
        in_container = outer in own and bool(name)
        holder = own if in_container else common
        value = _valid(field, holder)
        if field == "sysctls" and pod.spec.get("hostNetwork") is True:
            value = [each for each in value if not _is_of_network(each)]
        value = {inner: value} if inner else value
        context = {"securityContext": {outer: value}}
        fields |= pod.of_container(name, context) if in_container else context
    root = "runAsNonRoot" in finding.found
    return Fix(fields, notes=("To keep root, write runAsUser: 0 and runAsNonRoot: false.",) if root else ())


def _valid(field: str, context: Raw) -> Any:
    """A value that a pod can have in place of the one in a context; None to remove the field."""
    if field == "capabilities.add":
        return [each for each in object_of(context.get("capabilities")).get("add") or () if each != "CAP_SYS_ADMIN"]
    if field == "supplementalGroups":
        return [each for each in context.get(field) or () if _is_id(each)]
    if field == "sysctls":
        known = {str(each.get("name")): each for each in objects_of(context.get(field))}
        return [each for name, each in known.items() if len(name) <= _LONGEST_SYSCTL and _SYSCTL.fullmatch(name)]
    if field in _PROFILES:
        return {"type": "RuntimeDefault", "localhostProfile": None}
    if field == "runAsUser" and context.get("runAsNonRoot") is True:
        return NOBODY
    return False if field == "privileged" else None


RULE = Rule(id=ID, order=10, text=__doc__, fix=fix, operator_pod=check)
