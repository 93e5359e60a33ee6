"""pod-security-policy: a PodSecurityPolicy that something names must exist.

Named by `podSecurityPolicyName` in a custom resource (root or component), reached from a pod through its owners, or by
a pod's annotation `kubernetes.io/psp`. Where the API is served (Kubernetes below 1.25) and no such policy exists, it is
denied. Where the API is not served, creating a resource that names one, or changing the name, is denied, and a pod is
allowed with a warning: an upgraded cluster must be able to restart its pods. "Could not ask" never denies.
"""

from webhook.facts import Absent, NotServed, Unknown
from webhook.policy.findings import Finding, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import PolicyReference, Subject

ID = "pod-security-policy"

ANNOTATION = "kubernetes.io/psp"
REMOVED = "policy/v1beta1 was removed in Kubernetes 1.25"


def check(subject: Subject, posture: Posture) -> list[Finding]:  # noqa: ARG001 - the shape of every rule
    """Findings for one pod."""
    return [finding for reference in subject.policies if (finding := judge(reference, of_pod=True))]


def judge(reference: PolicyReference, *, of_pod: bool) -> Finding | None:
    """The finding for one reference, of a pod or of a custom resource; None when the policy exists."""
    fact, name, place = reference.fact, reference.name, reference.place
    if type(fact) is Unknown:
        return Warn(ID, f"{place} names PodSecurityPolicy {name!r}; whether it exists is not known: {fact.reason}")
    if type(fact) is NotServed:
        text = f"{place} names PodSecurityPolicy {name!r}, but {REMOVED}: take the field out"
        return Warn(ID, text) if of_pod or reference.settled else _denied(reference, text)
    if type(fact) is not Absent:
        return None
    like = f"; existing names like it: {', '.join(reference.similar)}" if reference.similar else ""
    where = " among the objects given" if fact.source == "file" else ""
    text = f"{place} names PodSecurityPolicy {name!r}, which does not exist{where}{like}: create it or correct the name"
    return Warn(ID, text) if reference.settled else _denied(reference, text)


def _denied(reference: PolicyReference, text: str) -> Violation:
    return Violation(
        ID, reference.place, reference.name, "an existing PodSecurityPolicy", text, reference.place, denies=True
    )
