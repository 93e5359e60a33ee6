"""The values that a resource must set in place of those that are violations. A part of `security-context`."""

from webhook.policy.context_fields import NOBODY, ROWS, LeftAlone
from webhook.policy.findings import Fix, Violation, Warn
from webhook.policy.json_access import Raw, object_of
from webhook.policy.rules.subject import FlawedPod
from webhook.policy.rules.wanted_context import flat, nested

_ELSEWHERE = "No field of the resource sets it. This lists the webhooks that may have set it:"

_WEBHOOKS = "kubectl get mutatingwebhookconfigurations"


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """The value that is wanted, where the resource sets another one."""
    path = finding.path if isinstance(finding, Violation) else finding.about[0]
    if path.startswith("/metadata/annotations/"):
        return _without_annotation(path.rpartition("/")[2], pod)
    base, _, name = path.partition("/securityContext/")
    container, custom = pod.at(base), pod.posture.security_context == "custom"
    holders = [(container, pod.contexts_set.get(container, {}))] if container else []
    holders += [("", object_of(pod.part.get("securityContext")))] if custom else []
    holders += [] if container else pod.contexts_set.items()
    for holder, own in holders:
        if fields := _right(finding, name, flat(own), pod):
            context = {"securityContext": nested(fields)}
            return Fix(pod.of_container(holder, context) if holder else context, notes=_notes(fields))
    return Fix(notes=(_ELSEWHERE,), command=_WEBHOOKS)


def _notes(fields: Raw) -> tuple[str, ...]:
    if not fields.keys() & {"runAsUser", "runAsNonRoot"}:
        return ()
    return ("The container must be able to run as that user. To keep root: runAsUser: 0, runAsNonRoot: false.",)


def _right(finding: Violation | Warn, name: str, own: Raw, pod: FlawedPod) -> Raw:
    """The fields that must differ in a context that the resource sets, {} where it does not cause the finding."""
    common = flat(pod.posture.own_context)
    if isinstance(finding, Violation) and finding.found is None:
        if name == "runAsUser":
            return {"runAsNonRoot": False} if own.get("runAsNonRoot") is True else {}
        return _less(own) or ({name: None} if name in own else {})
    if name not in own:
        return {}
    if name == "runAsUser" and own[name] == 0:
        return {"runAsUser": common.get("runAsUser") or NOBODY, "runAsNonRoot": True}
    if pod.posture.security_context == "custom":
        return {name: common[name]} if name in common and common[name] != own[name] else {}
    row = ROWS["container"].get(name)
    if row is None:
        return {name.replace("~1", "/").replace("~0", "~"): None}
    more = _less(own) if name == "allowPrivilegeEscalation" else {}
    return {**more, name: None if isinstance(row.strict, LeftAlone) else row.strict}


def _less(own: Raw) -> Raw:
    """The fields of a context with which a container always can escalate privileges, without that."""
    added = own.get("capabilities/add")
    escalating = {"ALL", "SYS_ADMIN", "CAP_SYS_ADMIN"}
    fields: Raw = {"privileged": False} if own.get("privileged") is True else {}
    if isinstance(added, list) and escalating.intersection(map(str, added)):
        fields["capabilities/add"] = [each for each in added if each not in escalating]
    return fields


def _without_annotation(key: str, pod: FlawedPod) -> Fix:
    name = key.replace("~1", "/").replace("~0", "~")
    annotations = object_of(object_of(pod.part.get("podMetadata")).get("annotations"))
    if name not in annotations:
        return Fix(notes=(_ELSEWHERE,), command=_WEBHOOKS)
    return Fix({"podMetadata": {"annotations": {name: None}}})
