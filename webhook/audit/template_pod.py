"""The next pod of a controller that has none now, made from its pod template as the controller makes it. Pure.

The template may differ from what the resource would give: someone changed it, or the operator has not applied the
resource yet. The next pod is made from the template all the same.
"""

from typing import Any

from webhook.objects import KubeObject
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.preview.predicted_pod import give_token

CONTROLLERS = ("Deployment", "StatefulSet", "DaemonSet")
"""The kinds with a pod template whose pods are predicted. The operator makes no ReplicaSet of its own."""


def has_template(controller: KubeObject) -> bool:
    """Whether the pod template of a controller is known."""
    template = object_of(object_of(controller.spec).get("template"))
    return bool(objects_of(object_of(template.get("spec")).get("containers")))


def pod_of_template(controller: KubeObject, owner: Raw) -> Raw:
    """The raw pod of a controller with a template, owned by `owner`."""
    template = object_of(object_of(controller.spec).get("template"))
    name = f"{controller.metadata.name}-0"
    spec: Raw = {**template["spec"], "initContainers": objects_of(template["spec"].get("initContainers"))}
    spec["volumes"] = [*objects_of(spec.get("volumes")), *_claims(object_of(controller.spec), name)]
    for group in ("containers", "initContainers"):
        spec[group] = [dict(each) for each in objects_of(spec[group])]
    if spec.get("automountServiceAccountToken") is not False:
        give_token(spec)
    metadata: dict[str, Any] = {**object_of(template.get("metadata")), "name": name}
    metadata |= {"namespace": controller.metadata.namespace, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _claims(spec: Raw, pod: str) -> list[Raw]:
    """The volumes that a StatefulSet gives to its pod."""
    names = (str(object_of(each.get("metadata")).get("name")) for each in objects_of(spec.get("volumeClaimTemplates")))
    return [{"name": name, "persistentVolumeClaim": {"claimName": f"{name}-{pod}"}} for name in names]
