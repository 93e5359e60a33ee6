"""security-context: the pod and the operator's containers have the strict security context, or the resource's own.

vmguard fills fields that are missing. It never changes a field that is set.

With strict security the table below holds. A field that is set must have the strict value or an accepted one. Any other
value is a violation, and so is a field that is not in the table. With VMGUARD_ENFORCE=deny vmguard denies such a pod.
Where pod and container both have a field, the container's value counts. A container without the field takes the pod's.

A DaemonSet's pod reads the host's files, so its containers get the runAs fields, and the pod gets none. A component
that must run as root there (a VLAgent that collects logs) may run as any user. The user's containers in its pod may
not.

A resource's own securityContext takes the place of the strict one:

- vmguard accepts every value that the resource sets: in that context, in a patch over the operator's container, or by
  an annotation of its pods.
- A value that differs is a warning if the table accepts it. Any other value came from elsewhere, such as another
  webhook, and is a violation.
- So is such a value of a field that the resource leaves unset. Two values are no violation: one that means the same as
  no value (`readOnlyRootFilesystem: false`), and one that is surely no weaker (more capabilities to drop).
- An empty securityContext opts out. vmguard then judges none of these fields.

Filling never makes a pod that the API server refuses or the kubelet does not start. It never changes which user runs:

- A container gets no user or group that differs from its pod's.
- Nothing gets runAsNonRoot where the user is root.
- A container that is privileged or adds CAP_SYS_ADMIN gets no `allowPrivilegeEscalation: false`.

Why: with a weak context a process that an attacker controls can reach the node. The table gives the reason for each
field.

What to do: remove the value from the resource, and vmguard fills the strict one. Or write the strict one yourself:

    containers:
    - name: vmsingle
      securityContext: {privileged: false, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}

Where another webhook sets the value, `kubectl get mutatingwebhookconfigurations` lists the webhooks.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from webhook.objects import Container
from webhook.policy.context_fields import ROWS, ContextField, ContextLevel
from webhook.policy.context_table import context_table
from webhook.policy.findings import Change, Finding, Violation, Warn
from webhook.policy.json_access import laid_over
from webhook.policy.posture import Posture
from webhook.policy.rules.context_corrections import fix
from webhook.policy.rules.context_filling import Wanted, annotations_of, fill_container, fill_pod
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import Subject
from webhook.policy.rules.wanted_context import flat, runs_as_root, token, wanted_context
from webhook.policy.wording import as_json, dotted

ID = "security-context"

_POD = "/spec/securityContext"
_UNKNOWN_FIELD = "vmguard does not know this field; remove it, or update vmguard"
_WIDEST = 60
_WHY = {"strict": "strict security", "custom": "the resource's own"}

Compare = Callable[[str, dict[str, Any], Container | None], Iterator[Finding]]
"""What is wrong with the fields that are set in the context at a JSON pointer, of a container or (None) of the pod."""


def check(subject: Subject, posture: Posture) -> list[Finding]:
    """Findings on the pod and on each container that the posture covers."""
    if posture.security_context == "off" or (posture.security_context == "custom" and not posture.own_context):
        return []
    strict = posture.security_context == "strict"
    why = _WHY[posture.security_context]
    wanted = Wanted(*wanted_context(subject, posture), why, ID, posture.context_setting.place)
    compare: Compare = partial(_against_rows if strict else _against_own, subject, posture)
    pod = flat(subject.pod.spec.security_context)
    filled = list(fill_pod(subject, wanted, pod))
    findings = [*compare(_POD, pod, None), *filled]
    non_root = pod.get("runAsNonRoot", _filled_value(filled, f"{_POD}/runAsNonRoot")) is True
    for path, container in subject.containers():
        base = f"{path}/securityContext"
        findings += _root_under_non_root(base, container, non_root, wanted)
        if container.name in posture.component.containers or (strict and subject.harden_sidecars):
            present = flat(container.security_context)
            findings += compare(base, present, container)
            findings += fill_container(subject, wanted, pod, base, container, present)
    return _once(findings)


def _against_rows(
    subject: Subject, posture: Posture, base: str, present: dict[str, Any], container: Container | None
) -> Iterator[Violation]:
    """Strict security: each field that is set, and each annotation that stands for one, against its row."""
    source = posture.context_setting.place
    level: ContextLevel = "container" if container else "pod"
    rows = ROWS[level]
    any_user = _may_be_root(subject, posture, container)
    for name, found in present.items():
        row = rows.get(name)
        if row is None:
            yield Violation(ID, f"{base}/{name}", found, "absent", _UNKNOWN_FIELD, source)
        elif not row.accepts(found, subject.minor) and not (any_user and row.runs_as):
            yield Violation(ID, f"{base}/{name}", found, row.wanted, row.why, source)
    yield from _annotations(subject, source, present, container)


def _annotations(
    subject: Subject, source: str, present: dict[str, Any], container: Container | None
) -> Iterator[Violation]:
    """Each annotation that stands for a field that is not set, against the field's row."""
    level: ContextLevel = "container" if container else "pod"
    rows = ROWS[level]
    for name, (key, text) in annotations_of(subject, level, container.name if container else None).items():
        annotation = rows[name].annotation
        if annotation and name not in present and not annotation.accepted.allows(text, subject.minor):
            path = f"/metadata/annotations/{token(key)}"
            yield Violation(ID, path, text, annotation.accepted.text, rows[name].danger, source)


def _against_own(
    subject: Subject, posture: Posture, base: str, present: dict[str, Any], container: Container | None
) -> Iterator[Violation | Warn]:
    """A resource's own securityContext: each field that is set, and each annotation, against what the resource sets."""
    source = posture.context_setting.place
    level: ContextLevel = "container" if container else "pod"
    rows = ROWS[level]
    own = patched = flat(posture.own_context)
    if container and subject.user_containers:
        patched = flat(laid_over(posture.own_context, subject.user_containers.get(container.name, {})))
    any_user = _may_be_root(subject, posture, container)
    for name, found in present.items():
        row, path = rows.get(name), f"{base}/{name}"
        value = patched.get(name)
        acceptable = row is not None and _acceptable(row, found, value, subject.minor, any_user=any_user)
        if acceptable or found in (value, own.get(name)):
            if name in own and found != own[name]:
                text = f"{dotted(path)} is {as_json(found, _WIDEST)}; vmguard does not change it;"
                yield Warn(ID, f"{text} {source} sets it to {as_json(own[name], _WIDEST)}", about=(path,))
        elif row is None:
            yield Violation(ID, path, found, "absent", _UNKNOWN_FIELD, source)
        elif value is not None:
            yield Violation(ID, path, found, value, row.danger, source)
        else:
            yield Violation(ID, path, found, "absent", f"{row.danger}, and the resource does not set it", source)
    for violation in _annotations(subject, source, present, container):
        key = violation.path.rpartition("/")[2]
        if all(token(known) != key or text != violation.found for known, text in subject.user_annotations.items()):
            yield violation


def _may_be_root(subject: Subject, posture: Posture, container: Container | None) -> bool:
    """Whether the pod (None) or a container may run as any user, as it must read the host's files."""
    of_operator = container is None or container.name in posture.component.containers
    return of_operator and runs_as_root(subject, posture)


def _acceptable(row: ContextField, found: Any, value: Any, minor: int, *, any_user: bool) -> bool:
    """Whether a value that the resource does not set, in place of `value` or of none, is no violation."""
    return row.accepts(found, minor) or row.no_weaker(found, value) or (any_user and row.runs_as)


def _root_under_non_root(base: str, container: Container, non_root: bool, wanted: Wanted) -> Iterator[Violation | Warn]:  # noqa: FBT001
    """A container whose own user is root, where its own or the pod's runAsNonRoot is true."""
    context = container.security_context or {}
    if context.get("runAsUser") != 0:
        return
    own = context.get("runAsNonRoot")
    if own is True or (non_root and own is not False):
        holder = "the container" if own is True else "the pod"
        why = f"runAsNonRoot of {holder} is true, so the kubelet will not start container {container.name!r}"
        yield wanted.violation(f"{base}/runAsUser", 0, "not 0", why)
    elif non_root:
        text = f"container {container.name!r} runs as root though runAsNonRoot of the pod is true:"
        yield Warn(ID, f"{text} the container's own runAsNonRoot is false", about=(f"{base}/runAsUser",))


def _filled_value(filled: list[Change | Violation], path: str) -> Any:
    return next((each.edit.value for each in filled if type(each) is Change and each.edit.path == path), None)


def _once(findings: list[Finding]) -> list[Finding]:
    """The findings with the first violation of each path."""
    seen: set[str] = set()
    result: list[Finding] = []
    for finding in findings:
        if type(finding) is Violation:
            if finding.path in seen:
                continue
            seen.add(finding.path)
        result.append(finding)
    return result


RULE = Rule(id=ID, order=30, text=__doc__, fix=fix, table=context_table, pod=check)
