"""pod-security-policy: a PodSecurityPolicy that something names must exist.

A name stands in `podSecurityPolicyName` of a custom resource (root or component), which counts for its pods too, or in
a pod's annotation `kubernetes.io/psp`. Where the API is served (Kubernetes below 1.25) and no such policy exists,
vmguard denies the object. Where the API is not served, vmguard denies a resource that is created with a name, or whose
name changes. It allows a pod with a warning, so an upgraded cluster can restart its pods. If vmguard could not find out
whether the policy exists, it never denies.
"""

from webhook.facts import Absent, NotServed, Unknown
from webhook.policy.findings import Finding, Violation, Warn
from webhook.policy.policy_references import REMOVED
from webhook.policy.posture import Posture
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import PolicyReference, Subject

ID = "pod-security-policy"


def check(subject: Subject, posture: Posture) -> list[Finding]:  # noqa: ARG001 - the shape of the phase
    """Findings for one pod."""
    return [finding for reference in subject.policies for finding in check_reference(reference, True)]


def check_reference(reference: PolicyReference, of_pod: bool) -> list[Finding]:  # noqa: FBT001 - the shape of the phase
    """The finding for one reference, of a pod or of a custom resource; none when the policy exists."""
    fact, name, place = reference.fact, reference.name, reference.place
    if type(fact) is Unknown:
        return [Warn(ID, f"{place} names PodSecurityPolicy {name!r}; whether it exists is not known: {fact.reason}")]
    if type(fact) is NotServed:
        text = f"{place} names PodSecurityPolicy {name!r}, but {REMOVED}: take the field out"
        return [Warn(ID, text) if of_pod or reference.settled else _denied(reference, text)]
    if type(fact) is not Absent:
        return []
    like = f"; existing names like it: {', '.join(reference.similar)}" if reference.similar else ""
    where = " among the objects given" if fact.source == "file" else ""
    text = f"{place} names PodSecurityPolicy {name!r}, which does not exist{where}{like}: create it or correct the name"
    return [Warn(ID, text) if reference.settled else _denied(reference, text)]


def _denied(reference: PolicyReference, text: str) -> Violation:
    return Violation(
        ID, reference.place, reference.name, "an existing PodSecurityPolicy", text, reference.place, denies=True
    )


RULE = Rule(id=ID, order=20, text=__doc__, pod=check, policy_reference=check_reference)
