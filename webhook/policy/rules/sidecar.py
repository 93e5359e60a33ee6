"""sidecar: the user's own containers beside the operator's must not keep a strict pod from running.

vmguard leaves them as they are unless VMGUARD_HARDEN_SIDECARS is true. A pod with one that does not pass Pod Security
`restricted` is refused where a namespace enforces that level. vmguard warns the person who applies the resource, and
for a new ephemeral container the person who adds it. It advises hardening where that helps: hardening fills what is
missing and changes no value that is there and weaker. This applies only where the posture is strict. A resource with a
securityContext of its own sets all of it deliberately.

A container of a pod that neither the operator nor the resource brings came from elsewhere: another webhook injected it,
such as the proxy of a service mesh, or the operator is newer than vmguard. vmguard does not judge such a container and
warns of it: log, metric and audit annotation of the pod have the warning. It never denies the pod for it.

A container of the user's that sets no user has that of its pod, which overrides the user of its image. An audit and
`vmguard review` of a running pod report such a container that gets another user once its pod is created again.
"""

from typing import Any

from webhook.podsecurity import Reason, evaluate
from webhook.policy.findings import Finding, Warn
from webhook.policy.json_access import laid_over, object_of
from webhook.policy.posture import Posture
from webhook.policy.rules.owner_changers import tool_of
from webhook.policy.rules.replaced_users import inherited_users
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import EphemeralContainer, PreviewedPod, ReplacedPod, Subject
from webhook.policy.volume_users import command_in

ID = "sidecar"

_MOST = 3


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the user's containers of one pod: those that hardening would help, and those that it would not."""
    if posture.security_context != "strict":
        return []
    bare: list[str] = []
    weak: list[str] = []
    first = ""
    spec = pod.pod["spec"]
    for container in (*spec["initContainers"], *spec["containers"]):
        name = container["name"]
        if name in posture.component.containers or not _reasons(container, spec, pod.minor):
            continue
        context = laid_over(pod.filling, object_of(container.get("securityContext")))
        left = _reasons({**container, "securityContext": context}, spec, pod.minor)
        if not left and tool_of(container):
            continue  # `file-owner` has the advice: hardened, it could not change owners
        (weak if left else bare).append(name)
        first = first or "".join(map(str, left[:1]))
    findings: list[Finding] = []
    if bare:
        text = f"{_named(bare)} left as it is and does not pass Pod Security restricted: write its securityContext, or"
        findings.append(Warn(ID, f"{text} set VMGUARD_HARDEN_SIDECARS=true"))
    if weak:
        findings.append(
            Warn(ID, f"{_named(weak)} weaker than Pod Security restricted, as the resource sets it: {first}")
        )
    return findings


def check_names(subject: Subject, posture: Posture) -> list[Finding]:
    """A warning about the containers of a pod that neither the operator nor the resource brings."""
    if subject.user_containers is None:
        return []
    known = {*posture.component.containers, *subject.user_containers}
    names = [container.name for _, container in subject.containers() if container.name not in known]
    if not names:
        return []
    text = f"{_named(names)} neither the operator's nor in the resource: vmguard does not judge what another webhook"
    return [Warn(ID, f"{text} injects; if the operator made it, update vmguard")]


def check_replaced(pod: ReplacedPod) -> list[Warn]:
    """Findings for the user's containers of a running pod that is to be created again."""
    return [
        Warn(ID, f"{each.text}. Check: {command_in(pod.as_argument, each.container, 'id', '-u')}")
        for each in inherited_users(pod)
    ]


def _named(names: list[str]) -> str:
    listed = ", ".join(map(repr, names[:_MOST])) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")
    return f"container {listed} is" if len(names) == 1 else f"each of the containers {listed} is"


def check_ephemeral(new: EphemeralContainer, posture: Posture) -> list[Finding]:
    """Findings for one new ephemeral container."""
    name = str(new.container.get("name") or "")
    context, pod = (object_of(holder.get("securityContext")) for holder in (new.container, new.spec))
    findings: list[Finding] = []
    if context.get("runAsUser") == 0 and context.get("runAsNonRoot", pod.get("runAsNonRoot")) is True:
        text = f"ephemeral container {name!r} runs as root in a pod that must not: the kubelet will not start it"
        findings.append(Warn(ID, f"{text} unless it says runAsNonRoot: false itself"))
    reasons = _reasons(new.container, new.spec, new.minor) if posture.security_context == "strict" else ()
    if reasons:
        more = f"; and {len(reasons) - _MOST} more" if len(reasons) > _MOST else ""
        listed = "; ".join(map(str, reasons[:_MOST])) + more
        findings.append(Warn(ID, f"ephemeral container {name!r} does not pass Pod Security restricted: {listed}"))
    return findings


def _reasons(container: dict[str, Any], spec: dict[str, Any], minor: int) -> tuple[Reason, ...]:
    """Why a container alone in its pod would not be restricted."""
    shared = {field: spec[field] for field in ("securityContext", "os", "hostUsers") if field in spec}
    return evaluate({"spec": {**shared, "containers": [container]}}, minor).reasons


RULE = Rule(
    id=ID,
    order=60,
    text=__doc__,
    pod=check_names,
    preview=check,
    replaced_pod=check_replaced,
    ephemeral_container=check_ephemeral,
)
