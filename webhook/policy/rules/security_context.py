"""security-context: the strict security context, or the resource's own, on the pod and the operator's containers.

Fields that are missing are filled; one that is there is never changed. Filling is coherent, judged by effective values
(a container's own, else the pod's): no container gets a user or group other than the pod's that is there, nothing gets
`runAsNonRoot` where the user is root, and no container that is privileged or may take CAP_SYS_ADMIN gets
`allowPrivilegeEscalation: false`, which the API server refuses. What is there and weaker than wanted is a violation.

Wanted, strict:
  pod        runAsNonRoot, runAsUser, runAsGroup, fsGroup, fsGroupChangePolicy (Kubernetes >= 1.20), seccompProfile
  container  privileged, allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities.drop, runAsUser, runAsGroup,
             runAsNonRoot
A DaemonSet's pod has no runAs fields (it reads the host's files), and a VLAgent collector's container has none either.
A Windows pod takes runAsNonRoot only. With VMGUARD_RUN_AS=platform users, groups and fsGroup are left out.

Source: pods that operators v0.54 and v0.74 make with strict security; API server validation 1.20 to 1.37.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from webhook.admission.patch import Edit
from webhook.objects import Container
from webhook.policy.findings import Change, Finding, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import Subject

ID = "security-context"

STRICT_ID = 65534
"""The user and group `nobody`, which the images of VictoriaMetrics run as."""

_RUN_AS = ("runAsNonRoot", "runAsUser", "runAsGroup")
_LEFT_TO_PLATFORM = ("runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy")
_WINDOWS = ("runAsNonRoot", "windowsOptions")

_STRICT_POD: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": STRICT_ID,
    "runAsGroup": STRICT_ID,
    "fsGroup": STRICT_ID,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
_STRICT_CONTAINER: dict[str, Any] = {
    "privileged": False,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities/drop": ["ALL"],
    "runAsNonRoot": True,
    "runAsUser": STRICT_ID,
    "runAsGroup": STRICT_ID,
}

POD_FIELDS = (
    "appArmorProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seLinuxChangePolicy",
    "seLinuxOptions",
    "seccompProfile",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "sysctls",
    "windowsOptions",
)
"""What a pod takes of a custom resource's own securityContext."""

CONTAINER_FIELDS = (
    "privileged",
    "capabilities",
    "readOnlyRootFilesystem",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "appArmorProfile",
    "seccompProfile",
)
"""What the operator's containers take of it."""

_SINCE = {"fsGroupChangePolicy": 20, "appArmorProfile": 30, "supplementalGroupsPolicy": 31, "seLinuxChangePolicy": 32}
"""The Kubernetes 1.x minor version that brought a field; an older API server would drop it."""

_WEAK: dict[str, tuple[Any, ...]] = {
    "privileged": (True,),
    "allowPrivilegeEscalation": (True,),
    "readOnlyRootFilesystem": (False,),
    "runAsNonRoot": (False,),
    "runAsUser": (0,),
}
"""Values that are there and weaker than strict; any other user or group is as good as nobody."""

_SECCOMP_ANNOTATIONS_UNTIL = 27
_POD_SECCOMP_ANNOTATION = "seccomp.security.alpha.kubernetes.io/pod"
_CONTAINER_ANNOTATIONS = {
    "seccompProfile": "container.seccomp.security.alpha.kubernetes.io/",
    "appArmorProfile": "container.apparmor.security.beta.kubernetes.io/",
}

_ESCALATING = frozenset({"CAP_SYS_ADMIN", "SYS_ADMIN", "ALL"})


def check(subject: Subject, posture: Posture) -> list[Finding]:
    """Findings for the pod and for each container that the posture speaks for."""
    if posture.security_context == "off" or (posture.security_context == "custom" and not posture.own_context):
        return []
    source = posture.context_asked.place
    strict = posture.security_context == "strict"
    wanted_pod, wanted_container = _wanted(subject, posture)
    findings: list[Finding] = []
    pod = _present(subject.pod.spec.security_context)
    findings += _pod(subject, pod, wanted_pod, strict=strict, source=source)
    effective_pod = {**{field: value for field, value in wanted_pod.items() if field in _RUN_AS}, **pod}
    if effective_pod.get("runAsUser") == 0 and "runAsNonRoot" not in pod:
        effective_pod.pop("runAsNonRoot", None)
    operators = posture.component.containers
    for path, container in subject.containers():
        if container.name in operators or (strict and subject.harden_sidecars):
            findings += _container(subject, path, container, pod, wanted_container, strict, source)
        findings += _root_under_non_root(path, container, effective_pod, source)
    return _once(findings)


def _wanted(subject: Subject, posture: Posture) -> tuple[dict[str, Any], dict[str, Any]]:
    if posture.security_context == "strict":
        return _strict(
            subject.in_daemonset,
            subject.in_daemonset and posture.component.runs_as_root_in_daemonset,
            subject.run_as_platform,
            subject.windows,
            subject.minor,
        )
    own = posture.own_context
    pod = {field: own[field] for field in POD_FIELDS if own.get(field) is not None}
    container = {field: own[field] for field in CONTAINER_FIELDS if own.get(field) is not None}
    capabilities = container.pop("capabilities", None)
    if isinstance(capabilities, dict):
        container |= {f"capabilities/{side}": capabilities[side] for side in ("add", "drop") if capabilities.get(side)}
    return _allowed(pod, subject.windows, subject.minor), _allowed(container, subject.windows, subject.minor)


@cache
def _strict(
    daemonset: bool,  # noqa: FBT001 - a key of the cache
    root: bool,  # noqa: FBT001
    platform: bool,  # noqa: FBT001
    windows: bool,  # noqa: FBT001
    minor: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    left_out = _LEFT_TO_PLATFORM if platform else ()
    pod = {f: v for f, v in _STRICT_POD.items() if f not in left_out and not (daemonset and f in _RUN_AS)}
    container = {f: v for f, v in _STRICT_CONTAINER.items() if f not in left_out and not (root and f in _RUN_AS)}
    return _allowed(pod, windows, minor), _allowed(container, windows, minor)


def _allowed(wanted: dict[str, Any], windows: bool, minor: int) -> dict[str, Any]:  # noqa: FBT001 - as _strict
    return {
        field: value
        for field, value in wanted.items()
        if _SINCE.get(field, 0) <= minor and (not windows or field in _WINDOWS)
    }


def _present(context: dict[str, Any] | None) -> dict[str, Any]:
    """The fields that are there; null and empty count as absent, as the API server drops them."""
    return {field: value for field, value in (context or {}).items() if value is not None and value not in ([], {})}


def _pod(
    subject: Subject, present: dict[str, Any], wanted: dict[str, Any], *, strict: bool, source: str
) -> Iterator[Finding]:
    base = "/spec/securityContext"
    within = "" if subject.pod.spec.security_context else base
    annotations = subject.pod.metadata.annotations or {}
    user = present.get("runAsUser", wanted.get("runAsUser"))
    for field, value in wanted.items():
        path = f"{base}/{field}"
        if field in present:
            yield from _there(path, field, present[field], value, strict=strict, source=source)
        elif field == "runAsNonRoot" and user == 0:
            yield Violation(ID, f"{base}/runAsUser", 0, "not 0", "the pod must not run as root", source)
        elif field == "seccompProfile" and _annotated(subject, annotations.get(_POD_SECCOMP_ANNOTATION)):
            yield from _annotation(annotations[_POD_SECCOMP_ANNOTATION], _POD_SECCOMP_ANNOTATION, source)
        else:
            yield _fill(path, value, within, strict=strict, source=source)


def _container(
    subject: Subject,
    path: str,
    container: Container,
    pod: dict[str, Any],
    wanted: dict[str, Any],
    strict: bool,  # noqa: FBT001
    source: str,
) -> Iterator[Finding]:
    context = container.security_context
    present = _flat(context)
    base = f"{path}/securityContext"
    annotations = subject.pod.metadata.annotations or {}
    user = present.get("runAsUser", pod.get("runAsUser", wanted.get("runAsUser")))
    escalates = present.get("privileged", wanted.get("privileged")) is True or not _ESCALATING.isdisjoint(
        _strings(present.get("capabilities/add", wanted.get("capabilities/add")))
    )
    for field, value in wanted.items():
        leaf = f"{base}/{field}"
        if field in present:
            yield from _there(leaf, field, present[field], value, strict=strict, source=source)
        elif field in ("runAsUser", "runAsGroup") and pod.get(field, value) != value:
            continue  # the pod says who runs; another id here would change that
        elif field == "runAsNonRoot" and user == 0:
            if "runAsUser" not in pod:  # else the pod's own violation says it
                yield Violation(ID, f"{base}/runAsUser", 0, "not 0", "the container must not run as root", source)
        elif present.get("allowPrivilegeEscalation") is False and _escalating(field, value):
            why = "the container may not escalate privileges, and this would let it"
            yield Violation(ID, leaf, None, value, why, source)
        elif field == "allowPrivilegeEscalation" and value is False and escalates:
            yield Violation(
                ID, leaf, None, False, "a privileged container, or one with CAP_SYS_ADMIN, always escalates", source
            )
        elif _annotated_field(subject, field, annotations, container.name):
            continue  # the annotation speaks; a field beside it that differs is refused
        else:
            within = base if not context else ""
            if not within and "/" in field and not context.get(field.partition("/")[0]):  # type: ignore[union-attr]
                within = f"{base}/{field.partition('/')[0]}"
            yield _fill(leaf, value, within, strict=strict, source=source)


def _escalating(field: str, value: Any) -> bool:
    return (field == "privileged" and value is True) or (
        field == "capabilities/add" and not _ESCALATING.isdisjoint(_strings(value))
    )


def _flat(context: dict[str, Any] | None) -> dict[str, Any]:
    present = _present(context)
    capabilities = present.pop("capabilities", None)
    if isinstance(capabilities, dict):
        present |= {f"capabilities/{side}": value for side, value in capabilities.items() if value}
    return present


def _fill(path: str, value: Any, within: str, *, strict: bool, source: str) -> Change:
    return Change(ID, Edit("add", path, value, within), "strict security" if strict else "the resource's own", source)


def _there(path: str, field: str, found: Any, wanted: Any, *, strict: bool, source: str) -> Iterator[Violation | Warn]:
    if found == wanted:
        return
    if not strict:
        yield Warn(ID, f"{_dotted(path)} is {_short(found)} and stays; {source} asks for {_short(wanted)}")
    elif field == "capabilities/drop":
        if "ALL" not in _strings(found):
            yield Violation(ID, path, found, ["ALL"], "what is dropped must include ALL", source)
    elif field == "seccompProfile":
        if isinstance(found, dict) and found.get("type") == "Unconfined":
            yield Violation(ID, path, found, wanted, "seccomp must not be off", source)
    elif any(found is weak or (weak == 0 and found == 0) for weak in _WEAK.get(field, ())):
        yield Violation(ID, path, found, wanted, "it is there and weaker than strict", source)


def _root_under_non_root(path: str, container: Container, pod: dict[str, Any], source: str) -> Iterator[Violation]:
    context = container.security_context or {}
    non_root = context.get("runAsNonRoot")
    if context.get("runAsUser") == 0 and (pod.get("runAsNonRoot") if non_root is None else non_root) is True:
        why = f"container {container.name!r} runs as root in a pod that must not: the kubelet will not start it"
        yield Violation(ID, f"{path}/securityContext/runAsUser", 0, "not 0", why, source)


def _once(findings: list[Finding]) -> list[Finding]:
    """The findings with one violation a path: the first says it best."""
    said: set[str] = set()
    kept: list[Finding] = []
    for finding in findings:
        if type(finding) is Violation:
            if finding.path in said:
                continue
            said.add(finding.path)
        kept.append(finding)
    return kept


def _annotated(subject: Subject, annotation: str | None) -> bool:
    return annotation is not None and subject.minor < _SECCOMP_ANNOTATIONS_UNTIL


def _annotated_field(subject: Subject, field: str, annotations: dict[str, str], name: str) -> bool:
    prefix = _CONTAINER_ANNOTATIONS.get(field)
    if prefix is None or prefix + name not in annotations:
        return False
    return field != "seccompProfile" or subject.minor < _SECCOMP_ANNOTATIONS_UNTIL


def _annotation(value: str, key: str, source: str) -> Iterator[Violation]:
    if value == "unconfined":
        path = f"/metadata/annotations/{key.replace('/', '~1')}"
        yield Violation(ID, path, value, "runtime/default", "seccomp must not be off", source)


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _dotted(path: str) -> str:
    return path.removeprefix("/").replace("/", ".")


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else f"{text[:57]}…"
