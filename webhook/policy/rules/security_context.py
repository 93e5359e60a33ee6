"""security-context: the strict security context, or the resource's own, on the pod and the operator's containers.

Fields that are missing are filled; one that is there is never changed. Filling is coherent, judged by effective values
(a container's own, else the pod's): no container gets a user or group other than the pod's that is there, nothing gets
`runAsNonRoot` where the user is root, and no container that is privileged or may take CAP_SYS_ADMIN gets
`allowPrivilegeEscalation: false`, which the API server refuses. What is there and weaker than wanted is a violation.

What is wanted is in `wanted_context`. Source: API server validation and kubelet 1.20 to 1.37.
"""

from collections.abc import Iterator
from typing import Any

from webhook.admission.patch import Edit
from webhook.objects import Container
from webhook.policy.findings import Change, Finding, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import Subject
from webhook.policy.rules.wanted_context import RUN_AS, wanted_context

ID = "security-context"

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

_POD_SPEAKS = (*RUN_AS, "seccompProfile", "appArmorProfile")
"""Fields in which a container's word takes the place of its pod's."""

_ESCALATING = frozenset({"CAP_SYS_ADMIN", "SYS_ADMIN", "ALL"})


def check(subject: Subject, posture: Posture) -> list[Finding]:
    """Findings for the pod and for each container that the posture speaks for."""
    if posture.security_context == "off" or (posture.security_context == "custom" and not posture.own_context):
        return []
    source = posture.context_setting.place
    strict = posture.security_context == "strict"
    wanted_pod, wanted_container = wanted_context(subject, posture)
    findings: list[Finding] = []
    pod = _present(subject.pod.spec.security_context)
    findings += _pod(subject, pod, wanted_pod, strict=strict, source=source)
    filled = {finding.edit.path.rpartition("/")[2] for finding in findings if type(finding) is Change}
    effective_pod = pod | {field: wanted_pod[field] for field in RUN_AS if field in filled}
    findings += _of_pod_for_containers(pod, wanted_pod, wanted_container, strict=strict, source=source)
    operators = posture.component.containers
    for path, container in subject.containers():
        findings += _root_under_non_root(path, container, effective_pod, source)
        if container.name in operators or (strict and subject.harden_sidecars):
            findings += _container(subject, path, container, pod, wanted_container, strict, source)
    return _once(findings)


def _present(context: dict[str, Any] | None) -> dict[str, Any]:
    """The fields that are there; null and empty count as absent, as the API server drops them."""
    return {field: value for field, value in (context or {}).items() if value is not None and value not in ([], {})}


def _pod(
    subject: Subject, present: dict[str, Any], wanted: dict[str, Any], *, strict: bool, source: str
) -> Iterator[Finding]:
    base = "/spec/securityContext"
    within = "" if subject.pod.spec.security_context else base
    annotation = (subject.pod.metadata.annotations or {}).get(_POD_SECCOMP_ANNOTATION)
    user = present.get("runAsUser", wanted.get("runAsUser"))
    for field, value in wanted.items():
        path = f"{base}/{field}"
        if field in present:
            yield from _there(path, field, present[field], value, strict=strict, source=source)
        elif field == "runAsNonRoot" and user == 0:
            yield _no_root(f"{base}/runAsUser", source)
        elif field == "runAsUser" and value == 0 and (forbidding := _forbid_root(subject, present)):
            yield _cannot_be_root(path, forbidding, source)
        elif field == "seccompProfile" and annotation and subject.minor < _SECCOMP_ANNOTATIONS_UNTIL:
            yield from _annotation(annotation, _POD_SECCOMP_ANNOTATION, strict=strict, source=source)
        else:
            yield _fill(path, value, within, strict=strict, source=source)


def _of_pod_for_containers(
    pod: dict[str, Any], wanted_pod: dict[str, Any], wanted_container: dict[str, Any], *, strict: bool, source: str
) -> Iterator[Finding]:
    """Judge what the pod says of who runs where only containers are asked about it, as in a DaemonSet."""
    for field in RUN_AS:
        if field in pod and field in wanted_container and field not in wanted_pod:
            path = f"/spec/securityContext/{field}"
            yield from _there(path, field, pod[field], wanted_container[field], strict=strict, source=source)


def _forbid_root(subject: Subject, pod: dict[str, Any]) -> str:
    """What says runAsNonRoot and takes its user from the pod, so that the pod's user cannot be filled with root."""
    if pod.get("runAsNonRoot") is True:
        return "the pod"
    for _, container in subject.containers():
        context = container.security_context or {}
        if context.get("runAsNonRoot") is True and context.get("runAsUser") is None:
            return f"container {container.name!r}"
    return ""


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
    non_root = present.get("runAsNonRoot", pod.get("runAsNonRoot"))
    escalates = present.get("privileged", wanted.get("privileged")) is True or not _ESCALATING.isdisjoint(
        _strings(present.get("capabilities/add", wanted.get("capabilities/add")))
    )
    for field, value in wanted.items():
        leaf = f"{base}/{field}"
        if field in present:
            yield from _there(leaf, field, present[field], value, strict=strict, source=source)
        elif field in _POD_SPEAKS and _of_pod(subject, pod, field, value) != value:
            continue  # the pod's word counts; another one here would take its place
        elif field == "runAsNonRoot" and user == 0:
            if "runAsUser" not in pod:  # else the pod's own violation says it
                yield _no_root(f"{base}/runAsUser", source)
        elif field == "runAsUser" and value == 0 and non_root is True:
            yield _cannot_be_root(leaf, "the container or its pod", source)
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
    if strict:
        yield from _container_seccomp(subject, base, container, present, source)


def _of_pod(subject: Subject, pod: dict[str, Any], field: str, otherwise: Any) -> Any:
    """What the pod says in a field that its containers may say otherwise, `otherwise` where it is silent."""
    if field == "seccompProfile" and field not in pod and subject.minor < _SECCOMP_ANNOTATIONS_UNTIL:
        return (subject.pod.metadata.annotations or {}).get(_POD_SECCOMP_ANNOTATION) or otherwise
    return pod.get(field, otherwise)


def _container_seccomp(
    subject: Subject, base: str, container: Container, present: dict[str, Any], source: str
) -> Iterator[Violation]:
    """Strict says nothing of a container's seccomp, as the pod's counts; but a container may not switch it off."""
    profile = present.get("seccompProfile")
    if profile is not None:
        wanted = {"type": "RuntimeDefault"}
        yield from _there(f"{base}/seccompProfile", "seccompProfile", profile, wanted, strict=True, source=source)  # type: ignore[misc]
        return
    key = _CONTAINER_ANNOTATIONS["seccompProfile"] + container.name
    annotation = (subject.pod.metadata.annotations or {}).get(key)
    if annotation and subject.minor < _SECCOMP_ANNOTATIONS_UNTIL:
        yield from _annotation(annotation, key, strict=True, source=source)


def _no_root(path: str, source: str) -> Violation:
    whose = "pod" if path.startswith("/spec/securityContext") else "container"
    return Violation(ID, path, 0, "not 0", f"the {whose} must not run as root", source)


def _cannot_be_root(path: str, forbidding: str, source: str) -> Violation:
    why = f"{forbidding} says runAsNonRoot: true, so the kubelet would not start it as root"
    return Violation(ID, path, None, 0, why, source)


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


def _root_under_non_root(
    path: str, container: Container, pod: dict[str, Any], source: str
) -> Iterator[Violation | Warn]:
    context = container.security_context or {}
    if context.get("runAsUser") != 0 or pod.get("runAsNonRoot") is not True:
        if context.get("runAsUser") == 0 and context.get("runAsNonRoot") is True:
            yield _not_started(path, container, "which says runAsNonRoot: true itself", source)
    elif context.get("runAsNonRoot") is False:
        yield Warn(ID, f"container {container.name!r} runs as root in a pod that must not: it says so itself")
    else:
        yield _not_started(path, container, "in a pod that must not", source)


def _not_started(path: str, container: Container, where: str, source: str) -> Violation:
    why = f"container {container.name!r} runs as root {where}: the kubelet will not start it"
    return Violation(ID, f"{path}/securityContext/runAsUser", 0, "not 0", why, source)


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


def _annotated_field(subject: Subject, field: str, annotations: dict[str, str | None], name: str) -> bool:
    prefix = _CONTAINER_ANNOTATIONS.get(field)
    if prefix is None or not annotations.get(prefix + name):
        return False
    return field != "seccompProfile" or subject.minor < _SECCOMP_ANNOTATIONS_UNTIL


def _annotation(value: str, key: str, *, strict: bool, source: str) -> Iterator[Violation]:
    if strict and value == "unconfined":
        path = f"/metadata/annotations/{key.replace('/', '~1')}"
        yield Violation(ID, path, value, "runtime/default", "seccomp must not be off", source)


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _dotted(path: str) -> str:
    return path.removeprefix("/").replace("/", ".")


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else f"{text[:57]}…"


RULE = Rule(id=ID, order=30, text=__doc__, pod=check)
