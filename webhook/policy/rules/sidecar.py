"""sidecar: the user's own containers beside the operator's must not keep a strict pod from running.

vmguard does not change them unless VMGUARD_HARDEN_SIDECARS is true. It warns the person who applies the resource of a
container that does not pass Pod Security `restricted`. It warns the person who adds such an ephemeral container, too.
It judges them only where the posture is strict. A resource with a securityContext of its own sets all of it
deliberately.

A container that neither the operator nor the resource brings came from elsewhere. Another webhook injected it, such as
the proxy of a service mesh, or the operator is newer than vmguard. vmguard does not judge such a container. Log, metric
and audit annotation of the pod have a warning, and vmguard never denies the pod for it.

A container of the user's that sets no user has that of its pod, which overrides the user of its image. An audit,
`vmguard review` of a running pod, and the warning at an update report such a container that gets another user.

Why: a namespace that enforces `restricted` refuses the whole pod for one weak container.

What to do: write the context of the container in the resource:

    containers:
    - name: proxy
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}

Or set VMGUARD_HARDEN_SIDECARS=true: vmguard then fills what is missing. It changes no value that is set. Where a
container must keep the user of its image, set that user:

    containers:
    - name: proxy
      securityContext: {runAsUser: 1337, runAsNonRoot: true}
"""

from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.json_access import Raw, laid_over, object_of
from webhook.policy.posture import Posture
from webhook.policy.rules.hardening import CHECK_IMAGE, hardened, reasons_of
from webhook.policy.rules.owner_changers import tool_of
from webhook.policy.rules.replaced_users import InheritedUser, inherited_at_update, inherited_users
from webhook.policy.rules.root_programs import done_as_root
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import THIS_POD, EphemeralContainer, FlawedPod, PreviewedPod, ReplacedPod, Subject
from webhook.policy.volume_users import command_in

ID = "sidecar"

_MOST = 3


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the user's containers of one pod."""
    findings: list[Finding] = []
    if pod.earlier:
        inherited = inherited_at_update(pod.earlier, pod.pod["spec"], pod.image_users, posture.component.containers)
        findings += [_inherits(each, THIS_POD) for each in inherited]
    return [*findings, *_hardenable(pod, posture)] if posture.security_context == "strict" else findings


def _hardenable(pod: PreviewedPod, posture: Posture) -> list[Warn]:
    """Findings for the containers that hardening would help, and for those that it would not."""
    bare: list[str] = []
    weak: list[str] = []
    first = ""
    spec = pod.pod["spec"]
    for container in (*spec["initContainers"], *spec["containers"]):
        name = container["name"]
        if name in posture.component.containers or not reasons_of(container, spec, pod.minor):
            continue
        context = laid_over(pod.filling, object_of(container.get("securityContext")))
        left = reasons_of({**container, "securityContext": context}, spec, pod.minor)
        if not left and (tool_of(container) or done_as_root(container)):
            continue  # `file-owner` and `root-command` have the advice: hardened, it could not do that
        (weak if left else bare).append(name)
        first = first or "".join(map(str, left[:1]))
    findings: list[Warn] = []
    if bare:
        text = f"{_named(bare)} left as it is and does not pass Pod Security restricted: write its securityContext, or"
        findings.append(Warn(ID, f"{text} set VMGUARD_HARDEN_SIDECARS=true", about=tuple(bare)))
    if weak:
        text = f"{_named(weak)} weaker than Pod Security restricted, as the resource sets it: {first}"
        findings.append(Warn(ID, text, about=tuple(weak)))
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
    return [Warn(ID, f"{text} injects; if the operator made it, update vmguard", about=tuple(names))]


def check_replaced(pod: ReplacedPod) -> list[Warn]:
    """Findings for the user's containers of a running pod that is to be created again."""
    return [_inherits(each, pod.as_argument) for each in inherited_users(pod)]


def _inherits(inherited: InheritedUser, pod: str) -> Warn:
    return Warn(ID, f"{inherited.text}. Check: {command_in(pod, inherited.container, 'id', '-u')}")


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
    reasons = reasons_of(new.container, new.spec, new.minor) if posture.security_context == "strict" else ()
    if reasons:
        more = f"; and {len(reasons) - _MOST} more" if len(reasons) > _MOST else ""
        listed = "; ".join(map(str, reasons[:_MOST])) + more
        findings.append(Warn(ID, f"ephemeral container {name!r} does not pass Pod Security restricted: {listed}"))
    return findings


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """The fields that each container needs to pass Pod Security restricted, and no other field."""
    names = finding.about if isinstance(finding, Warn) else ()
    if any(map(pod.comes_from_elsewhere, names)):
        note = "No field of the resource fixes it. This lists the webhooks that may have injected it:"
        return Fix(notes=(note,), command="kubectl get mutatingwebhookconfigurations")
    fields: Raw = {}
    for name in names:
        for group, containers in pod.of_container(name, hardened(pod.container(name), pod.spec, pod.minor)).items():
            fields[group] = [*fields.get(group, []), *containers]
    return Fix(fields, notes=(CHECK_IMAGE,))


RULE = Rule(
    id=ID,
    order=60,
    text=__doc__,
    fix=fix,
    pod=check_names,
    preview=check,
    replaced_pod=check_replaced,
    ephemeral_container=check_ephemeral,
)
