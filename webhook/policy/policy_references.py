"""The PodSecurityPolicies that a resource or a pod names, and the place of each name. Pure."""

from collections.abc import Iterator
from typing import Any

from webhook.facts import Ref
from webhook.objects import Pod
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.custom_resources import GROUP
from webhook.policy.json_access import object_of
from webhook.policy.parents import MOST_ZONES, Layers, children
from webhook.policy.posture import POLICY_FIELD, Posture

ANNOTATION = "kubernetes.io/psp"
"""The annotation by which a pod names a policy; the admission plugin sets it on every pod that it admits."""

REMOVED = "policy/v1beta1 was removed in Kubernetes 1.25"
"""Why no cluster of a newer version serves PodSecurityPolicies."""


def policies_named(ref: Ref, spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Place and name of every PodSecurityPolicy that a resource names."""
    found = [
        (f"{place}.{POLICY_FIELD}", part[POLICY_FIELD])
        for place, part in _parts(ref, f"{ref} spec", spec)
        if isinstance(part.get(POLICY_FIELD), str) and part[POLICY_FIELD]
    ]
    return list(dict.fromkeys(found))


def policies_annotated(ref: Ref, spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Place and name of every PodSecurityPolicy that a resource lets its pods name by their annotation."""
    found = []
    for place, part in _parts(ref, f"{ref} spec", spec):
        name = object_of(object_of(part.get("podMetadata")).get("annotations")).get(ANNOTATION)
        if isinstance(name, str) and name:
            found.append((f"{place}.podMetadata.annotations[{ANNOTATION}]", name))
    return list(dict.fromkeys(found))


def policies_of_posture(posture: Posture) -> list[tuple[str, str]]:
    """Place and name of the PodSecurityPolicy that a pod names through its resource."""
    setting = posture.pod_security_policy
    return [(setting.place, setting.word)] if setting else []


def policies_of_pod(pod: Pod, namespace: str) -> list[tuple[str, str]]:
    """Place and name of the PodSecurityPolicy that a pod names itself."""
    annotation = (pod.metadata.annotations or {}).get(ANNOTATION)
    return [(f"Pod {namespace}/{pod.display_name} annotation {ANNOTATION}", annotation)] if annotation else []


def _parts(ref: Ref, place: str, spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and content of each part of a resource's spec that may name a policy."""
    yield place, spec
    for component in BY_KIND.get(ref.kind, ()):
        if len(component.path) > 1:
            yield ".".join((place, *component.path[1:])), component.part_of(spec)
    for kind in PARENTS.get(ref.kind, {}):
        common_layers: Layers = ()
        for name, layers in children(ref, spec, kind, MOST_ZONES):
            common_layers = layers[1:]
            yield from _parts(Ref(GROUP, "", kind, ref.namespace, name), *layers[0])
        for child_place, child_spec in common_layers:
            yield from _parts(Ref(GROUP, "", kind, ref.namespace, ""), child_place, child_spec)
