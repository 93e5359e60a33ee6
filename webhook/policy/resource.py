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
from webhook.policy.posture import Posture
from webhook.policy.resources import GROUP
from webhook.policy.rules.pod_security_policy import ANNOTATION
from webhook.policy.workload import Workload

POLICY_FIELD = "podSecurityPolicyName"


def workloads(ref: Ref, spec: dict[str, Any], parent: Ref | None, parent_spec: dict[str, Any] | None) -> list[Workload]:
    """The workloads that the operator makes of a resource, without their kind of controller."""
    if ref.kind in PARENTS:
        return [
            workload
            for kind in PARENTS[ref.kind]
            for name, said in children(ref.kind, ref.name, spec, kind)
            if any(child for _, child in said)
            for workload in workloads(Ref(GROUP, "", kind, ref.namespace, name), merged(said), ref, spec)
        ]
    return [
        Workload(ref.kind, ref.namespace, ref.name, component, "", spec, parent=parent, parent_spec=parent_spec)
        for component in BY_KIND[ref.kind]
        if component.runs_in(spec)
    ]


def policies_named(ref: Ref, spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Place and name of every PodSecurityPolicy that a resource names."""
    found = [
        (f"{ref} {'.'.join((*path, POLICY_FIELD))}", part[POLICY_FIELD])
        for path, part in _parts(ref.kind, ref.name, ("spec",), spec)
        if isinstance(part.get(POLICY_FIELD), str) and part[POLICY_FIELD]
    ]
    return list(dict.fromkeys(found))


def policies_of_pod(pod: Pod, namespace: str, workload: Workload, posture: Posture) -> list[tuple[str, str]]:
    """Place and name of the PodSecurityPolicies that a pod names itself or through its resource."""
    found = []
    if posture.pod_security_policy:
        found.append((f"{workload} {POLICY_FIELD}", posture.pod_security_policy))
    annotation = (pod.metadata.annotations or {}).get(ANNOTATION)
    if annotation:
        found.append((f"Pod {namespace}/{pod.display_name} annotation {ANNOTATION}", annotation))
    return found


def _parts(
    kind: str, name: str, path: tuple[str, ...], spec: dict[str, Any]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    yield path, spec
    for component in BY_KIND.get(kind, ()):
        if len(component.path) > 1:
            yield (*path, *component.path[1:]), component.part_of(spec)
    for child in PARENTS.get(kind, {}):
        for child_name, said in children(kind, name, spec, child):
            for child_path, child_spec in said:
                yield from _parts(child, child_name, tuple(child_path.split(".")), child_spec)
