"""pod-security-policy: a PodSecurityPolicy that a resource or a pod names must exist.

The field `podSecurityPolicyName` of a resource (root or component) names a policy, and counts for its pods too. The
annotation `kubernetes.io/psp` of a pod names one as well.

- Where the API is served (Kubernetes below 1.25) and the policy does not exist, vmguard denies the object.
- Where the API is not served, vmguard denies a new resource that names a policy, and an update that changes the name.
  It allows a pod with a warning, so that an upgraded cluster can restart its pods.
- Where vmguard could not find out whether the policy exists, it denies nothing.

Why: a pod that names a policy that does not exist is not admitted, or runs without the limits that its author expects.

What to do: write the name of a policy that exists (`kubectl get psp`), or remove the name:

    podSecurityPolicyName: null
    podMetadata: {annotations: {kubernetes.io/psp: null}}
"""

from webhook.facts import Absent, NotServed, Unknown
from webhook.policy.components import BY_KIND
from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.json_access import Raw, object_of
from webhook.policy.policy_references import ANNOTATION, REMOVED
from webhook.policy.posture import POLICY_FIELD, Posture
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import FlawedPod, PolicyReference, ResourceObject, Subject

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


_NOTES = ("Or write the name of a policy that exists, where the cluster serves the API.",)


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:  # noqa: ARG001 - the shape of a fix
    """The resource without the name, wherever it has one for this component."""
    fields = _without(pod.part)
    if not fields and pod.workload.spec.get(POLICY_FIELD):
        return Fix({"spec": {POLICY_FIELD: None}}, notes=_NOTES, of_resource=True)
    if not fields:
        note = "The admission of the cluster sets the annotation. This lists the policies that exist:"
        return Fix(notes=(note,), command="kubectl get psp")
    return Fix(fields, notes=_NOTES)


def fix_in_resource(finding: Violation | Warn, resource: ResourceObject) -> Fix:  # noqa: ARG001 - the shape of a fix
    """The resource without any such name in its root and its components."""
    spec = object_of(resource.object.get("spec"))
    fields = _without(spec)
    for component in BY_KIND.get(resource.kind, ()):
        part = _without(component.part_of(spec)) if len(component.path) > 1 else {}
        for field in reversed(component.path[1:]) if part else ():
            part = {field: part}
        fields |= part
    return Fix({"spec": fields}, notes=_NOTES, of_resource=True) if fields else Fix(notes=_NOTES, of_resource=True)


def _without(part: Raw) -> Raw:
    """The fields of a part that name a policy, as null."""
    annotations = object_of(object_of(part.get("podMetadata")).get("annotations"))
    fields: Raw = {"podMetadata": {"annotations": {ANNOTATION: None}}} if ANNOTATION in annotations else {}
    return {**fields, POLICY_FIELD: None} if part.get(POLICY_FIELD) else fields


RULE = Rule(
    id=ID, order=20, text=__doc__, fix=fix, resource_fix=fix_in_resource, pod=check, policy_reference=check_reference
)
