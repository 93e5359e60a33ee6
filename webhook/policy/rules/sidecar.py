"""sidecar: the user's own containers beside the operator's must get along with a strict pod.

They are left as they are, unless VMGUARD_HARDEN_SIDECARS says otherwise, so a pod with one that does not pass Pod
Security `restricted` is refused whole where a namespace enforces that level. Told to whoever applies the resource, and
of a new ephemeral container to whoever adds it; hardening is advised where it would help, as it fills what is missing
and changes nothing that is there and weaker. Only where the posture is strict: a resource with a securityContext of
its own knows what it does.
"""

from typing import Any

from webhook.podsecurity import Reason, evaluate
from webhook.policy.findings import Finding, Warn
from webhook.policy.json_access import laid_over, object_of
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import PreviewedPod

ID = "sidecar"

_MOST = 3


def check(prospect: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the user's containers of one pod: those that filling would help, and those that it would not."""
    if posture.security_context != "strict":
        return []
    bare: list[str] = []
    wrong: list[str] = []
    first = ""
    spec = prospect.pod["spec"]
    for container in (*spec["initContainers"], *spec["containers"]):
        name = container["name"]
        if name in posture.component.containers or not reasons(container, spec, prospect.minor):
            continue
        context = laid_over(prospect.filling, object_of(container.get("securityContext")))
        left = reasons({**container, "securityContext": context}, spec, prospect.minor)
        (wrong if left else bare).append(name)
        first = first or "".join(map(str, left[:1]))
    findings: list[Finding] = []
    if bare:
        text = f"{_named(bare)} left as it is and does not pass Pod Security restricted: write its securityContext, or"
        findings.append(Warn(ID, f"{text} set VMGUARD_HARDEN_SIDECARS=true"))
    if wrong:
        findings.append(Warn(ID, f"{_named(wrong)} weaker than Pod Security restricted by its own word: {first}"))
    return findings


def _named(names: list[str]) -> str:
    listed = ", ".join(map(repr, names[:_MOST])) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")
    return f"container {listed} is" if len(names) == 1 else f"each of the containers {listed} is"


def check_ephemeral(container: dict[str, Any], spec: dict[str, Any], minor: int, *, strict: bool) -> list[Finding]:
    """Findings for one new ephemeral container of a pod with that raw spec."""
    name = str(container.get("name") or "")
    contexts = (holder.get("securityContext") for holder in (container, spec))
    context, pod = (each if isinstance(each, dict) else {} for each in contexts)
    findings: list[Finding] = []
    if context.get("runAsUser") == 0 and context.get("runAsNonRoot", pod.get("runAsNonRoot")) is True:
        text = f"ephemeral container {name!r} runs as root in a pod that must not: the kubelet will not start it"
        findings.append(Warn(ID, f"{text} unless it says runAsNonRoot: false itself"))
    why = reasons(container, spec, minor) if strict else ()
    if why:
        told = "; ".join(map(str, why[:_MOST])) + (f"; and {len(why) - _MOST} more" if len(why) > _MOST else "")
        findings.append(Warn(ID, f"ephemeral container {name!r} does not pass Pod Security restricted: {told}"))
    return findings


def reasons(container: dict[str, Any], spec: dict[str, Any], minor: int) -> tuple[Reason, ...]:
    """Why a container alone in its pod would not be restricted."""
    about = {field: spec[field] for field in ("securityContext", "os", "hostUsers") if field in spec}
    return evaluate({"spec": {**about, "containers": [container]}}, minor).reasons
