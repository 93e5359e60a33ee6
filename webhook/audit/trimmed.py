"""Objects as far as an audit reads them: what is judged, saved and shown is made from these parts alone.

A trimmed pod has no environment, no annotation that vmguard does not read, and of its arguments those that a rule
names. So no report can hold what a tenant keeps there. Containers and volumes stay at their places, so a patch for
the trimmed pod is a patch for the whole one. Deciding on a trimmed object is deciding on the whole; a test compares
both on recorded pods. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from webhook.audit.template_pod import CONTROLLERS
from webhook.policy.components import KINDS
from webhook.policy.context_fields import FIELDS as FIELDS_OF_CONTEXTS
from webhook.policy.custom_resources import GROUP
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.preview.predicted_pod import FIELDS, INNER_FIELDS, PROBES
from webhook.policy.projection import TREES, paths_of_kind
from webhook.policy.rules import FOREIGN_ANNOTATIONS, reads_field, words_read
from webhook.policy.rules.field_names import CONTEXT, meant_field

ANNOTATIONS = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "kubernetes.io/psp",
    "seccomp.security.alpha.kubernetes.io/",
)
"""Beginnings of Kubernetes' own annotations that decisions read."""

_METADATA = ("name", "generateName", "namespace", "uid", "labels", "ownerReferences", "deletionTimestamp")
_POD = (
    "automountServiceAccountToken",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostUsers",
    "os",
    "serviceAccountName",
)
_CONTAINER = ("name", "image", "volumeMounts")
_PORT = ("containerPort", "hostPort", "name", "protocol")
_SERVICE = ("name", "port", "targetPort")
_GROUPS = ("initContainers", "containers", "ephemeralContainers")
_HOOKS = ("postStart", "preStop")

_SOURCES: Mapping[str, tuple[str, ...]] = {
    "configMap": ("name",),
    "csi": ("driver",),
    "emptyDir": ("medium",),
    "ephemeral": (),
    "hostPath": ("path", "type"),
    "nfs": ("server", "path", "readOnly"),
    "persistentVolumeClaim": ("claimName", "readOnly"),
    "projected": ("sources", "defaultMode"),
    "secret": ("secretName",),
}
"""What is read of a volume's source; of any other source only that it is there."""


def trimmed_pod(pod: Raw) -> Raw:
    """The parts of a pod that an audit reads, its running users included."""
    spec = object_of(pod.get("spec"))
    result: Raw = {field: spec[field] for field in _POD if field in spec}
    if "securityContext" in spec:
        result["securityContext"] = _context(spec["securityContext"])
    for group in _GROUPS:
        if isinstance(spec.get(group), list):
            result[group] = [_container(object_of(each)) for each in spec[group]]
    if isinstance(spec.get("volumes"), list):
        result["volumes"] = [_volume(object_of(each)) for each in spec["volumes"]]
    status = _status(object_of(pod.get("status")))
    trimmed = {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(pod), "spec": result}
    return {**trimmed, "status": status} if status else trimmed


def trimmed_resource(resource: Raw) -> Raw:
    """The parts of a resource of the operator that decide what its pods look like."""
    kept: Raw = {field: resource[field] for field in ("apiVersion", "kind") if field in resource}
    kept |= _misplaced(resource)
    metadata = {**_misplaced(object_of(resource.get("metadata"))), **_metadata(resource)}
    return {**kept, "metadata": metadata, "spec": _part(object_of(resource.get("spec")))}


def _misplaced(holder: Raw) -> Raw:
    """The fields of a part of a resource outside its spec that a rule reads all the same."""
    return {field: _field(field, value) for field, value in holder.items() if reads_field(field) and field != "spec"}


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


_FIELDS = frozenset(
    [
        *FIELDS,
        *INNER_FIELDS,
        *("backendType", "serviceSpec"),  # only fixes read serviceSpec
        *(field for kind in TREES for path in paths_of_kind(kind) for field in path),
        *_texts(msgspec.to_builtins(KINDS)),
    ]
)
"""Names of the fields of resources that decisions and predictions read, wherever they stand."""

_STORAGE = ("emptyDir", "volumeClaimTemplate")
"""What is read of a request for storage; a part of a cluster may have the name of such a field too."""


def _part(part: Raw) -> Raw:
    """The fields of one part of a resource's spec that are read."""
    return {field: _field(field, value) for field, value in part.items() if field in _FIELDS or reads_field(field)}


def _field(field: str, value: Any) -> Any:
    if field.lower().endswith("securitycontext"):
        return _context(value)
    if field == "volumeMounts":
        return value
    if field in _GROUPS and isinstance(value, list):
        return [_container(each) if isinstance(each, dict) else each for each in value]
    if field == "volumes" and isinstance(value, list):
        return [_volume(each) if isinstance(each, dict) else each for each in value]
    if not isinstance(value, dict):
        return [_part(each) if isinstance(each, dict) else each for each in value] if isinstance(value, list) else value
    if field.lower().endswith("extraargs"):
        return {flag: each for flag, each in value.items() if words_read({"args": [f"-{flag}={each}"]})}
    if field == "podMetadata":
        return {each: _annotations(value[each]) for each in ("annotations", "labels") if each in value}
    if field == "serviceSpec":
        return {"spec": _service(object_of(value["spec"]))} if "spec" in value else {}
    if field in PROBES:
        return _hosts(value)
    if field == "storage" or field.endswith("Storage"):
        return {**{each: {} for each in _STORAGE if value.get(each) is not None}, **_part(value)}
    return _part(value)


def _service(spec: Raw) -> Raw:
    """The ports of a Service, which a fix may add to."""
    if not isinstance(spec.get("ports"), list):
        return {}
    return {
        "ports": [{field: port[field] for field in _SERVICE if field in port} for port in objects_of(spec["ports"])]
    }


def trimmed(thing: Raw) -> Raw:
    """Any object as far as an audit reads it."""
    group = str(thing.get("apiVersion", "")).rpartition("/")[0]
    if thing.get("kind") == "Pod" and not group:
        return trimmed_pod(thing)
    if group == GROUP:
        return trimmed_resource(thing)
    if group == "apps":
        return _controller(thing)
    spec = _OTHERS.get(str(thing.get("kind")))
    result = {"apiVersion": thing.get("apiVersion"), "kind": thing.get("kind"), "metadata": _metadata(thing)}
    if spec == ("webhooks",):
        return {**result, "webhooks": [_webhook(each) for each in objects_of(thing.get("webhooks"))]}
    if spec:
        found = object_of(thing.get("spec"))
        result["spec"] = {field: _narrowed(found[field]) for field in spec if field in found}
    return result


def _controller(thing: Raw) -> Raw:
    """A controller of pods: its metadata, its pod template as a pod is trimmed, and the names of claims."""
    result = {"apiVersion": thing.get("apiVersion"), "kind": thing.get("kind"), "metadata": _metadata(thing)}
    spec = object_of(thing.get("spec"))
    if thing.get("kind") not in CONTROLLERS or not isinstance(spec.get("template"), dict):
        return result
    pod = trimmed_pod(spec["template"])
    kept: Raw = {"template": {"metadata": pod["metadata"], "spec": pod["spec"]}}
    if claims := objects_of(spec.get("volumeClaimTemplates")):
        kept["volumeClaimTemplates"] = [
            {"metadata": {"name": metadata.get("name")}} for metadata in map(_metadata, claims)
        ]
    return {**result, "spec": kept}


def _narrowed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {field: each for field, each in value.items() if field in _INNER}


_OTHERS: Mapping[str, tuple[str, ...]] = {
    "CSIDriver": ("fsGroupPolicy",),
    "PersistentVolumeClaim": ("volumeName", "storageClassName", "accessModes", "volumeMode"),
    "PersistentVolume": (
        *("accessModes", "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc"),
        *("flexVolume", "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "portworxVolume"),
        *("quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume", "volumeMode"),
    ),
    "MutatingWebhookConfiguration": ("webhooks",),
    "MutatingAdmissionPolicy": ("matchConstraints",),
    "MutatingAdmissionPolicyBinding": ("policyName", "matchResources"),
}
"""What is read of the objects of other kinds beside their metadata."""

_INNER = (
    *("driver", "fsType", "server", "path"),
    *("resourceRules", "excludeResourceRules", "namespaceSelector", "objectSelector"),
)
"""What is read of the source of a PersistentVolume, and of what a policy matches; a driver has other attributes."""

FIELD_NAMES = frozenset(
    [
        *("spec", "status", *_POD, *_CONTAINER, *_PORT, *_SERVICE, *_GROUPS, *PROBES, *_HOOKS),
        *(*_METADATA, *_SOURCES, *_INNER),
        *(field for fields in (*_SOURCES.values(), *_OTHERS.values()) for field in fields),
        *("annotations", "args", "host", "httpGet", "tcpSocket", "lifecycle", "ports", "securityContext", "volumes"),
        *("mountPath", "mountPropagation", "readOnly", "subPath", "subPathExpr", "recursiveReadOnly", "uid", "user"),
        *("configMap", "downwardAPI", "expirationSeconds", "fieldPath", "fieldRef", "items", "serviceAccountToken"),
        *(each for field in _FIELDS for each in field.split(".") if each.isidentifier()),
        *(row.name.split("/")[0] for row in FIELDS_OF_CONTEXTS),
    ]
)
"""The names of the fields that trimmed objects have."""


def _metadata(thing: Raw) -> Raw:
    metadata = object_of(thing.get("metadata"))
    kept = {field: metadata[field] for field in _METADATA if field in metadata}
    annotations = _annotations(metadata.get("annotations"))
    return {**kept, "annotations": annotations} if annotations else kept


def _annotations(found: Any) -> Raw:
    annotations = object_of(found).items()
    return {key: value for key, value in annotations if key in FOREIGN_ANNOTATIONS or str(key).startswith(ANNOTATIONS)}


def _container(container: Raw) -> Raw:
    kept = {field: container[field] for field in _CONTAINER if field in container}
    kept |= {field: _context(each) for field, each in container.items() if meant_field(field).startswith(CONTEXT)}
    if words := words_read(container):
        kept["args"] = words
    ports = [{field: port[field] for field in _PORT if field in port} for port in objects_of(container.get("ports"))]
    if ports:
        kept["ports"] = ports
    for probe in PROBES:
        if hosts := _hosts(container.get(probe)):
            kept[probe] = hosts
    lifecycle = object_of(container.get("lifecycle"))
    hooks = {hook: hosts for hook in _HOOKS if (hosts := _hosts(lifecycle.get(hook)))}
    return {**kept, "lifecycle": hooks} if hooks else kept


def _hosts(handler: Any) -> Raw:
    """The hosts that a probe or a hook names."""
    actions = ((action, object_of(object_of(handler).get(action))) for action in ("httpGet", "tcpSocket"))
    return {action: {"host": found["host"]} for action, found in actions if found.get("host")}


_SPECIFICATION = "gmsaCredentialSpec"
"""A field of windowsOptions that holds a whole specification of credentials."""


def _context(context: Any) -> Any:
    """A security context; of a specification of credentials only that it is there."""
    options = object_of(object_of(context).get("windowsOptions"))
    if _SPECIFICATION not in options:
        return context
    return {**context, "windowsOptions": {**options, _SPECIFICATION: "…"}}


def _volume(volume: Raw) -> Raw:
    kept: Raw = {"name": volume["name"]} if "name" in volume else {}
    for source, value in volume.items():
        if source != "name" and value is not None:
            fields = _SOURCES.get(source, ())
            kept[source] = {field: each for field, each in object_of(value).items() if field in fields}
    return kept


def _status(status: Raw) -> Raw:
    """The users that containers run as, as newer kubelets report them."""
    kept: Raw = {}
    for group in ("initContainerStatuses", "containerStatuses"):
        users = [
            {"name": each.get("name"), "user": {"linux": {"uid": linux["uid"]}}}
            for each in objects_of(status.get(group))
            if "uid" in (linux := object_of(object_of(each.get("user")).get("linux")))
        ]
        if users:
            kept[group] = users
    return kept


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _webhook(entry: Raw) -> Raw:
    """A webhook as far as it says which pods it is called for; of its service only what tells vmguard's own."""
    kept: Raw = {
        field: entry[field] for field in ("name", "rules", "namespaceSelector", "objectSelector") if field in entry
    }
    client = object_of(entry.get("clientConfig"))
    path = object_of(client.get("service")).get("path") or _path_of(str(client.get("url") or ""))
    return {**kept, "clientConfig": {"service": {"path": path}}}
