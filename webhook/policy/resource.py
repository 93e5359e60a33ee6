"""A custom resource as the pods it stands for: its components as workloads, and the policies that it names.

A parent (VMDistributed, VLDistributed) stands for the pods of its children, which the operator makes of its zones and
zoneCommon. Pure; fetches nothing.
"""

from collections.abc import Iterator
from typing import Any

from webhook.facts import Ref
from webhook.objects import Pod
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.parents import children, merged
from webhook.policy.posture import POLICY_FIELD, Posture
from webhook.policy.resources import GROUP
from webhook.policy.rules.pod_security_policy import ANNOTATION
from webhook.policy.workload import Parentage, Workload


def workloads(ref: Ref, spec: dict[str, Any], parentage: Parentage) -> list[Workload]:
    """The workloads that the operator makes of a resource, without their kind of controller."""
    if ref.kind in PARENTS:
        return [
            workload
            for kind in PARENTS[ref.kind]
            for name, said in children(ref, spec, kind)
            if any(child for _, child in said)
            for workload in workloads(Ref(GROUP, "", kind, ref.namespace, name), merged(said), Parentage(ref, said))
        ]
    return [
        Workload(ref.kind, ref.namespace, ref.name, component, "", spec, parentage=parentage)
        for component in BY_KIND[ref.kind]
        if component.runs_in(spec)
    ]


def policies_named(ref: Ref, spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Place and name of every PodSecurityPolicy that a resource names."""
    found = [
        (f"{place}.{POLICY_FIELD}", part[POLICY_FIELD])
        for place, part in _parts(ref, f"{ref} spec", spec)
        if isinstance(part.get(POLICY_FIELD), str) and part[POLICY_FIELD]
    ]
    return list(dict.fromkeys(found))


def policies_of_pod(pod: Pod, namespace: str, posture: Posture) -> list[tuple[str, str]]:
    """Place and name of the PodSecurityPolicies that a pod names itself or through its resource."""
    found = []
    if posture.pod_security_policy:
        found.append((posture.pod_security_policy.place, posture.pod_security_policy.word))
    annotation = (pod.metadata.annotations or {}).get(ANNOTATION)
    if annotation:
        found.append((f"Pod {namespace}/{pod.display_name} annotation {ANNOTATION}", annotation))
    return found


def _parts(ref: Ref, place: str, spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and content of each part of a resource's spec that may name a policy."""
    yield place, spec
    for component in BY_KIND.get(ref.kind, ()):
        if len(component.path) > 1:
            yield ".".join((place, *component.path[1:])), component.part_of(spec)
    for kind in PARENTS.get(ref.kind, {}):
        for name, said in children(ref, spec, kind):
            for child_place, child_spec in said:
                yield from _parts(Ref(GROUP, "", kind, ref.namespace, name), child_place, child_spec)
