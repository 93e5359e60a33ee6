"""Manifests of the operator's resources and of the PodSecurityPolicies that they name, to apply to an API server."""

import itertools
from typing import Any

from webhook.policy.custom_resources import BY_KIND, GROUP

PSP = ("policy/v1beta1", "PodSecurityPolicy")
"""apiVersion and kind of a PodSecurityPolicy."""

_RUN_AS_ANY = {"rule": "RunAsAny"}
_COUNT = itertools.count(1)


def custom_resource(name: str, kind: str = "VMSingle", **spec: Any) -> dict[str, Any]:
    """A resource of the operator in the version that the cluster stores."""
    version = f"{GROUP}/{BY_KIND[kind].storage}"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def naming_policy(
    policy: str | None, kind: str = "VMSingle", path: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """A resource of a new name that names a PodSecurityPolicy, in the root of its spec or at a path below it."""
    spec = {"podSecurityPolicyName": policy, **more}
    for field in reversed(path):
        spec = {field: spec}
    return custom_resource(f"r{next(_COUNT)}", kind, **spec)


def pod_security_policy(name: str, **more: Any) -> dict[str, Any]:
    """A PodSecurityPolicy with the fields that it must have, each as permissive as can be."""
    rules = dict.fromkeys(("fsGroup", "runAsUser", "seLinux", "supplementalGroups"), _RUN_AS_ANY)
    spec = {**rules, "volumes": ["*"], **more}
    return {"apiVersion": PSP[0], "kind": PSP[1], "metadata": {"name": name}, "spec": spec}
