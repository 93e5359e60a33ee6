"""Which missing fields of a security context are filled, so that the pod stays valid and the same user runs.

Judged by effective values, a container's own or else its pod's:
- a container gets no value that differs from one that its pod has
- runAsNonRoot is not filled where the user is 0
- user 0, of a resource's own securityContext, is not filled where runAsNonRoot is true
- allowPrivilegeEscalation: false is not filled where the container is privileged or adds CAP_SYS_ADMIN, as the API
  server refuses that
- a field is not filled where its annotation has a value, as the API server refuses two that differ

Each of these that a person must resolve is a violation. Source: API server validation and kubelet 1.20 to 1.37.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from webhook.admission.patch import Edit
from webhook.objects import Container
from webhook.policy.context_fields import ROWS, ROWS_BY_NAME, ContextLevel
from webhook.policy.findings import Change, Violation
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import Subject
from webhook.policy.rules.wanted_context import flat, strict_context_of

_ESCALATING = ("CAP_SYS_ADMIN", "SYS_ADMIN", "ALL")
"""Capabilities with which a process can always gain more privileges."""

_ANNOTATED = {
    level: tuple((name, row.annotation) for name, row in rows.items() if row.annotation) for level, rows in ROWS.items()
}

_USER_0_IS_WRONG = "runAsNonRoot must be true, and then the kubelet does not start user 0"


class Wanted(msgspec.Struct, frozen=True):
    """The fields wanted at each level, why, and the rule and the setting that want them."""

    pod: dict[str, Any]
    container: dict[str, Any]
    why: str
    rule: str
    source: str

    def change(self, path: str, value: Any, within: str, whole: tuple[str, dict[str, Any]] | None) -> Change:
        return Change(self.rule, Edit("add", path, value, within, whole), self.why, self.source)

    def violation(self, path: str, found: Any, wanted: Any, why: str) -> Violation:
        return Violation(self.rule, path, found, wanted, why, self.source)


def fill_pod(subject: Subject, wanted: Wanted, pod: dict[str, Any]) -> Iterator[Change | Violation]:
    """What is filled into the pod's context, whose fields are `pod`."""
    base = "/spec/securityContext"
    context = subject.pod.spec.security_context
    within, whole = ("", (base, context)) if context else (base, None)
    annotations = annotations_of(subject, "pod", None)
    user = pod.get("runAsUser", wanted.pod.get("runAsUser"))
    for name, value in wanted.pod.items():
        path = f"{base}/{name}"
        if name in pod or name in annotations:
            continue
        if name == "runAsNonRoot" and value is True and user == 0:
            yield wanted.violation(f"{base}/runAsUser", 0, "not 0", _USER_0_IS_WRONG)
        elif name == "runAsUser" and value == 0 and (holder := _non_root_holder(subject, pod)):
            yield wanted.violation(path, None, 0, _not_filled(holder))
        else:
            yield wanted.change(path, value, within, whole)


def fill_container(
    subject: Subject, wanted: Wanted, pod: dict[str, Any], base: str, container: Container, present: dict[str, Any]
) -> Iterator[Change | Violation]:
    """What is filled into a container's context at `base`, whose fields are `present`; those of its pod's are `pod`."""
    annotations = annotations_of(subject, "container", container.name)
    of_pod = {name: value for name, (_, value) in annotations_of(subject, "pod", None).items()} | pod
    user = present.get("runAsUser", pod.get("runAsUser", wanted.container.get("runAsUser")))
    escalation = _escalation({**wanted.container, **present})
    rows = ROWS["container"]
    whole = (base, container.security_context) if container.security_context else None
    for name, value in wanted.container.items():
        leaf = f"{base}/{name}"
        if name in present or name in annotations:
            continue
        if name in of_pod and of_pod[name] != value and rows[name].inherited:
            continue
        if name == "runAsNonRoot" and value is True and user == 0:
            if "runAsUser" not in pod:  # otherwise the violation of the pod already reports it
                yield wanted.violation(f"{base}/runAsUser", 0, "not 0", _USER_0_IS_WRONG)
        elif name == "runAsUser" and value == 0 and present.get("runAsNonRoot", pod.get("runAsNonRoot")) is True:
            yield wanted.violation(leaf, None, 0, _not_filled("the container or its pod"))
        elif present.get("allowPrivilegeEscalation") is False and _escalation({name: value}):
            why = "allowPrivilegeEscalation of the container is false, which this value contradicts"
            yield wanted.violation(leaf, None, value, why)
        elif name == "allowPrivilegeEscalation" and value is False and escalation:
            yield wanted.violation(leaf, None, False, f"a container with {escalation} always can escalate privileges")
        else:
            yield wanted.change(leaf, value, _missing_parent(base, name, container.security_context), whole)


def left_out(subject: Subject, posture: Posture) -> tuple[str, ...]:
    """The fields that a pod lacks of strict security, whatever its posture wants, by row; each once."""
    wanted = Wanted(*strict_context_of(subject, posture), "", "", "")
    pod = flat(subject.pod.spec.security_context)
    found = list(fill_pod(subject, wanted, pod))
    for path, container in subject.containers():
        if container.name in posture.component.containers:
            present = flat(container.security_context)
            found += fill_container(subject, wanted, pod, f"{path}/securityContext", container, present)
    names = [each.edit.path.partition("/securityContext/")[2] for each in found if isinstance(each, Change)]
    return tuple(name for name in dict.fromkeys(names) if not ROWS_BY_NAME[name].accepts_unset(subject.minor))


def annotations_of(subject: Subject, level: ContextLevel, container: str | None) -> dict[str, tuple[str, str]]:
    """The annotations that stand for fields of the pod, or of the container of that name: key and value by field."""
    annotations = subject.pod.metadata.annotations
    if not annotations:
        return {}
    found = ((name, annotation.find(annotations, container, subject.minor)) for name, annotation in _ANNOTATED[level])
    return {name: entry for name, entry in found if entry}


def _non_root_holder(subject: Subject, pod: dict[str, Any]) -> str:
    """What has runAsNonRoot: true and the pod's user, so that the pod cannot get user 0; "" for nothing."""
    if pod.get("runAsNonRoot") is True:
        return "the pod"
    for _, container in subject.containers():
        context = container.security_context or {}
        if context.get("runAsNonRoot") is True and context.get("runAsUser") is None:
            return f"container {container.name!r}"
    return ""


def _not_filled(holder: str) -> str:
    return f"runAsNonRoot of {holder} is true, so the kubelet would not start it as user 0"


def _escalation(fields: dict[str, Any]) -> str:
    """The field that lets a container always escalate privileges; "" for none."""
    if fields.get("privileged") is True:
        return "privileged: true"
    added = fields.get("capabilities/add")
    found = next((each for each in _ESCALATING if isinstance(added, list) and each in added), "")
    return f"capabilities.add: {found}" if found else ""


def _missing_parent(base: str, name: str, context: dict[str, Any] | None) -> str:
    """The pointer of the outermost object that a new field needs and that is absent or empty; "" for none."""
    if not context:
        return base
    parent, member, _ = name.partition("/")
    return f"{base}/{parent}" if member and not context.get(parent) else ""
