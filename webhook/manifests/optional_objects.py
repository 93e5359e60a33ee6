"""What an administrator may add to an installation: flow control, a NetworkPolicy, a PodSecurityPolicy.

Each of them needs a version of Kubernetes or a choice, so none is part of the base.
"""

from typing import Any

from webhook.manifests.installation import labels, selector
from webhook.manifests.roles import InstallationNames

MONITORING = "monitoring"
"""The namespace that metrics are read from."""

_SECCOMP = "seccomp.security.alpha.kubernetes.io"


def flow_schemas(names: InstallationNames) -> tuple[dict[str, Any], dict[str, Any]]:
    """The priority levels of vmguard's requests to the API server.

    Without them a client that sends very many requests delays vmguard's, as all ServiceAccounts share one level. The
    Lease has the level of leader elections. Of two schemas that match the lower precedence counts. Both are before
    `service-accounts` (9000), Kubernetes' own for all of them.
    """
    lease = {
        "verbs": ["get", "create", "update"],
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "namespaces": ["*"],
    }
    everything = {
        "verbs": ["*"],
        "apiGroups": ["*"],
        "resources": ["*"],
        "namespaces": ["*"],
        "clusterScope": True,
    }
    paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
    return (
        _flow_schema(names, "-leader-election", "leader-election", 210, {"resourceRules": [lease]}),
        _flow_schema(names, "", "workload-high", 1000, {"resourceRules": [everything], "nonResourceRules": [paths]}),
    )


def _flow_schema(
    names: InstallationNames, suffix: str, level: str, precedence: int, rules: dict[str, Any]
) -> dict[str, Any]:
    account = {"namespace": names.namespace, "name": names.account}
    subject = {"kind": "ServiceAccount", "serviceAccount": account}
    return {
        **_head(names, "flowcontrol.apiserver.k8s.io/v1", "FlowSchema", f"{names.configuration}{suffix}"),
        "spec": {
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{"subjects": [subject], **rules}],
        },
    }


def namespace_of_flow_schemas() -> dict[str, Any]:
    """The setting of kustomize by which the namespace of an overlay is also that of the account in FlowSchemas."""
    return {"namespace": [{"path": "spec/rules/subjects/serviceAccount/namespace", "kind": "FlowSchema"}]}


def network_policy(names: InstallationNames) -> dict[str, Any]:
    """Who may connect: to the webhook every address, as those of API servers cannot be selected; else monitoring."""
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": MONITORING}}}
    return {
        **_head(names, "networking.k8s.io/v1", "NetworkPolicy", names.account, names.namespace),
        "spec": {
            "podSelector": {"matchLabels": selector(names)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [{"protocol": "TCP", "port": "webhook"}]},
                {"from": [monitoring], "ports": [{"protocol": "TCP", "port": "operations"}]},
            ],
        },
    }


def pod_security_policy(names: InstallationNames) -> dict[str, Any]:
    """The PodSecurityPolicy of vmguard's own pods: no more than they need."""
    made = _head(names, "policy/v1beta1", "PodSecurityPolicy", names.configuration)
    made["metadata"]["annotations"] = {
        f"{_SECCOMP}/allowedProfileNames": "runtime/default",
        f"{_SECCOMP}/defaultProfileName": "runtime/default",
    }
    groups = {"rule": "MustRunAs", "ranges": [{"min": 1, "max": 65535}]}
    return {
        **made,
        "spec": {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "requiredDropCapabilities": ["ALL"],
            "volumes": ["projected", "secret"],
            "hostNetwork": False,
            "hostIPC": False,
            "hostPID": False,
            "readOnlyRootFilesystem": True,
            "runAsUser": {"rule": "MustRunAsNonRoot"},
            "runAsGroup": dict(groups),
            "supplementalGroups": dict(groups),
            "fsGroup": dict(groups),
            "seLinux": {"rule": "RunAsAny"},
        },
    }


def _head(names: InstallationNames, version: str, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place, "labels": labels(names)}}
