"""Admission reviews of pods, as an API server sends them."""

from typing import Any

_POD = {"group": "", "version": "v1", "kind": "Pod"}


def pod_review(pod: Any, **request: Any) -> dict[str, Any]:
    """The review of a pod's creation in the namespace `mon`, with some fields of its request replaced."""
    fields = {"uid": "u-1", "kind": _POD, "namespace": "mon", "operation": "CREATE", "object": pod, **request}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": fields}


def sibling_review(pod: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The review of one more pod with the owner and labels of a stored pod, and without security settings."""
    meta = {key: pod["metadata"][key] for key in ("generateName", "labels", "ownerReferences")}
    spec = {"containers": [{"name": "vmsingle"}], "securityContext": {}}
    return pod_review({"metadata": meta, "spec": spec}, uid="u", namespace=namespace)
