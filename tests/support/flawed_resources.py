"""Resources with something wrong in them, for tests of fixes: samples of each finding, field cases and golden cases."""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.field_cases import FIELD
from tests.support.golden import CASES
from tests.support.preview_warnings import CLAIM, PASSES_RESTRICTED
from tests.support.sample_pods import resource
from webhook.cli.files import read_files
from webhook.offline.inputs import sort_documents
from webhook.policy.components import KINDS

ROOT = {"runAsUser": 0, "runAsNonRoot": False}
PRIVILEGED = {"privileged": True, "allowPrivilegeEscalation": True, "capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}}
AUTOMOUNT_OFF = {"disableAutomountServiceAccountToken": True}
CHOWN = {"name": "own", "image": "busybox", "command": ["chown", "-R", "65534", "/data"]}


def _sidecar(context: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "side", "image": "side", "securityContext": context, **more}]}


def _vmagent(spec: dict[str, Any]) -> dict[str, Any]:
    return {"remoteWrite": [{"url": "http://x"}], **spec}


SAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "a moved path": ("VMSingle", {"storageDataPath": "/x"}),
    "a path of an argument": ("VMAuth", {"extraArgs": {"tlsAutocertCacheDir": "/x"}}),
    "a read-only mount": (
        "VMSingle",
        {
            "storageDataPath": "/x",
            "volumes": [{"name": "data", "emptyDir": {}}],
            "volumeMounts": [{"name": "data", "mountPath": "/x", "readOnly": True}],
        },
    ),
    "a path of a component": ("VMCluster", {"vmselect": {"extraArgs": {"cacheDataPath": "/x"}}}),
    "a path of a backup": (
        "VMCluster",
        {
            "vmstorage": {
                **CLAIM,
                "vmBackup": {
                    "acceptEULA": True,
                    "destination": "fs:///backup",
                    "restore": {"onStart": {"enabled": True}},
                },
            }
        },
    ),
    "a backup to a folder of no absolute path": (
        "VMSingle",
        {**CLAIM, "vmBackup": {"acceptEULA": True, "destination": "fs://backup"}},
    ),
    "a low port of a configuration file": (
        "VMAnomaly",
        {"monitoring": {"pull": {"port": "80"}}, "server": {"port": "443"}},
    ),
    "a claim of a user without fsGroup": ("VMSingle", {**CLAIM, "securityContext": {"runAsUser": 1000}}),
    "strict security without effect": ("VMAuth", {"useStrictSecurity": True, "securityContext": {"runAsUser": 1000}}),
    "strict security without effect in all zones": (
        "VMDistributed",
        {
            "zones": [{"name": "a"}],
            "zoneCommon": {"vmagent": {"spec": {"useStrictSecurity": True, "securityContext": {}}}},
        },
    ),
    "data on a volume of the node": (
        "VMSingle",
        {
            "volumes": [{"name": "v", "hostPath": {"path": "/x"}}],
            "volumeMounts": [{"name": "v", "mountPath": "/x/y"}],
        },
    ),
    "data of a component on NFS": (
        "VMCluster",
        {
            "vmselect": {
                "securityContext": {"runAsUser": 1000},
                "volumes": [{"name": "v", "nfs": {"server": "s", "path": "/p"}}],
                "volumeMounts": [{"name": "v", "mountPath": "/x"}],
            }
        },
    ),
    "logs of the node for a sidecar": (
        "VMAuth",
        {
            "volumes": [{"name": "v", "hostPath": {"path": "/var/log"}}],
            "containers": [
                {
                    "name": "logs",
                    "image": "fluent-bit",
                    "volumeMounts": [{"name": "v", "mountPath": "/var/log", "readOnly": True}],
                }
            ],
        },
    ),
    "a patch of a container that is not made": ("VMSingle", {"containers": [{"name": "vmbackuper"}]}),
    "a field of one component at the root": ("VMCluster", {"vmBackup": {"destination": "s3://x"}, "vmstorage": {}}),
    "a context in another case": ("VMAuth", {"containers": [{"name": "vmauth", "SecurityContext": {"runAsUser": 0}}]}),
    "a log collector that is not root": (
        "VLAgent",
        {"k8sCollector": {"enabled": True}, "securityContext": {"runAsUser": 65534, "runAsNonRoot": True}},
    ),
    "a path in a patch": ("VMSingle", {"containers": [{"name": "vmsingle", "args": ["-storageDataPath=/x"]}]}),
    "a low port": ("VMAuth", {"port": "80"}),
    "a low port of a component": ("VMCluster", {"vminsert": {"port": "443"}}),
    "a low port in an argument": ("VMAuth", {"extraArgs": {"httpListenAddr": ":443"}}),
    "a low port of syslog": ("VLSingle", {"syslogSpec": {"tcpListeners": [{"listenPort": 514}]}}),
    "a low port of a sidecar": ("VMAuth", _sidecar({}, ports=[{"containerPort": 80}])),
    "a low port with a context of its own": (
        "VMAuth",
        {"port": "80", "securityContext": {"runAsUser": 1000, "runAsNonRoot": True}},
    ),
    "a low port with hostNetwork": ("VMAuth", {"hostNetwork": True, **_sidecar({}, ports=[{"containerPort": 80}])}),
    "no user": ("VMSingle", {"securityContext": {"runAsNonRoot": True}}),
    "no user in a patch": (
        "VMSingle",
        {"useStrictSecurity": False, "containers": [{"name": "vmsingle", "securityContext": {"runAsNonRoot": True}}]},
    ),
    "a collector without a user": (
        "VLAgent",
        {"k8sCollector": {"enabled": True}, "securityContext": {"runAsNonRoot": True}},
    ),
    "chown": ("VMSingle", {"initContainers": [CHOWN]}),
    "a kernel parameter": (
        "VMSingle",
        {
            "initContainers": [
                {
                    "name": "sysctl",
                    "image": "busybox",
                    "command": ["sysctl", "-w", "vm.max_map_count=1"],
                    "securityContext": {"privileged": True},
                }
            ]
        },
    ),
    "chown as root": ("VMSingle", {"initContainers": [{**CHOWN, "securityContext": {"runAsUser": 0}}]}),
    "chown without a capability": (
        "VMSingle",
        {"initContainers": [{**CHOWN, "securityContext": {**ROOT, "capabilities": {"drop": ["ALL"]}}}]},
    ),
    "a bare sidecar": (
        "VMSingle",
        {"containers": [{"name": "side", "image": "side"}], "initContainers": [{"name": "first", "image": "first"}]},
    ),
    "a privileged sidecar": ("VMCluster", {"vmselect": _sidecar(PRIVILEGED)}),
    "a sidecar that is root": ("VMSingle", _sidecar(ROOT)),
    "a sidecar with a port of the node": ("VMSingle", _sidecar({}, ports=[{"containerPort": 8080, "hostPort": 80}])),
    "a sidecar with odd fields": (
        "VMSingle",
        _sidecar(
            {
                "procMount": "Unmasked",
                "seLinuxOptions": {"type": "spc_t"},
                "seccompProfile": {"type": "Unconfined"},
                "appArmorProfile": {"type": "Unconfined"},
            },
            livenessProbe={"httpGet": {"host": "127.0.0.1", "port": 80}},
            lifecycle={"preStop": {"httpGet": {"host": "127.0.0.1", "port": 80}}},
        ),
    ),
    "kubectl without a token": (
        "VMAgent",
        _vmagent({**AUTOMOUNT_OFF, "containers": [{"name": "k", "image": "bitnami/kubectl"}]}),
    ),
    "kubectl without a token at first": (
        "VMAgent",
        _vmagent({**AUTOMOUNT_OFF, "initContainers": [{"name": "k", "image": "k", "command": ["kubectl", "get"]}]}),
    ),
    "the Vault injector": (
        "VMAgent",
        _vmagent({**AUTOMOUNT_OFF, "podMetadata": {"annotations": {"vault.hashicorp.com/agent-inject": "true"}}}),
    ),
    "vault-env": (
        "VMAgent",
        _vmagent({**AUTOMOUNT_OFF, "podMetadata": {"annotations": {"vault.security.banzaicloud.io/vault-addr": "x"}}}),
    ),
    "a volume with the name of the token's": (
        "VMAgent",
        _vmagent({**AUTOMOUNT_OFF, "volumes": [{"name": "kube-api-access", "emptyDir": {}}]}),
    ),
    "a mount at the place of the token": (
        "VMAgent",
        _vmagent(
            {
                **AUTOMOUNT_OFF,
                "volumes": [{"name": "kube-api-access-own", "emptyDir": {}}],
                "volumeMounts": [
                    {"name": "kube-api-access-own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
                ],
            }
        ),
    ),
    "another mount at the place of the token": (
        "VMAgent",
        _vmagent(
            {
                **AUTOMOUNT_OFF,
                "volumes": [{"name": "own", "emptyDir": {}}],
                "volumeMounts": [{"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            }
        ),
    ),
    "the token's volume is the user's": (
        "VMSingle",
        {
            **AUTOMOUNT_OFF,
            "ingestOnlyMode": False,
            "volumes": [
                {
                    "name": "kube-api-access",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"path": "token"}},
                            {"configMap": {"name": "kube-root-ca.crt"}},
                        ]
                    },
                }
            ],
        },
    ),
    "a patch with a weak context": (
        "VMSingle",
        {
            "containers": [
                {"name": "vmsingle", "securityContext": {**PRIVILEGED, "unknownField": True, "procMount": "Unmasked"}}
            ]
        },
    ),
    "a patch that is root": (
        "VMCluster",
        {"vmselect": {"containers": [{"name": "vmselect", "securityContext": {"runAsUser": 0}}]}},
    ),
    "an annotation that turns AppArmor off": (
        "VMSingle",
        {"podMetadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/vmsingle": "unconfined"}}},
    ),
    "root in a pod that is not": (
        "VMSingle",
        {"securityContext": {"runAsNonRoot": True, "runAsUser": 1000}, **_sidecar({"runAsUser": 0})},
    ),
    "root that says so": ("VMSingle", {**_sidecar(ROOT)}),
    "a value that differs from the own one": (
        "VMSingle",
        {
            "securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": True},
            "containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 2000}}],
        },
    ),
    "root for a container that is not": (
        "VMSingle",
        {
            "securityContext": {"runAsUser": 0},
            "containers": [{"name": "vmsingle", "securityContext": {"runAsNonRoot": True}}],
        },
    ),
    "a patch that escalates": (
        "VMSingle",
        {
            "securityContext": {"allowPrivilegeEscalation": False},
            "containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}],
        },
    ),
    "a context that no pod can have": (
        "VMCluster",
        {
            "vmstorage": {
                "securityContext": {
                    "runAsUser": -1,
                    "runAsNonRoot": True,
                    "supplementalGroups": [-1, 5],
                    "fsGroupChangePolicy": "Never",
                    "seccompProfile": {"type": "Localhost"},
                    "sysctls": [
                        {"name": "a.b", "value": "1"},
                        {"name": "a.b", "value": "2"},
                        {"name": "!", "value": "1"},
                    ],
                    "windowsOptions": {"runAsUserName": "a*b"},
                }
            }
        },
    ),
    "root that must not be root": ("VMSingle", {"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}),
    "a container that escalates and must not": (
        "VMSingle",
        _sidecar({"allowPrivilegeEscalation": False, "privileged": True, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}),
    ),
    "a process of the host": (
        "VMSingle",
        {"securityContext": {"windowsOptions": {"hostProcess": True}}},
    ),
    "a sysctl of the network of the node": (
        "VMSingle",
        {
            "hostNetwork": True,
            "securityContext": {
                "sysctls": [
                    {"name": "net.core.somaxconn", "value": "1"},
                    {"name": "kernel.shm_rmid_forced", "value": "1"},
                ]
            },
        },
    ),
    "a policy that is not served": ("VMSingle", {"podSecurityPolicyName": "old"}),
    "a policy of a component": ("VMCluster", {"vmselect": {"podSecurityPolicyName": "old"}}),
    "a policy in an annotation": ("VMSingle", {"podMetadata": {"annotations": {"kubernetes.io/psp": "old"}}}),
    "a context at the root of a cluster": (
        "VMCluster",
        {"securityContext": {"runAsUser": 5}, "vmselect": {"port": "1"}},
    ),
    "a patch of no container": ("VMAlertmanager", {"containers": [{"name": "vmalertmanager"}]}),
    "a socket of the node": (
        "VMSingle",
        {
            "volumes": [{"name": "v", "hostPath": {"path": "/run/x.sock", "type": "Socket"}}],
            "volumeMounts": [{"name": "v", "mountPath": "/x.sock"}],
        },
    ),
    "a setting in a context that has nothing else": ("VMSingle", {"securityContext": {"useStrictSecurity": True}}),
    "a user beside the context": ("VMSingle", {"runAsUser": 5}),
    "a group of the pod in a container": ("VMSingle", _sidecar({**PASSES_RESTRICTED, "fsGroup": 5})),
    "a context under pod": ("VMSingle", {"securityContext": {"pod": {"runAsUser": 5}}}),
    "a context that only a chart knows": ("VMSingle", {"securityContext": {"enabled": True}}),
    "a field that only a chart knows": ("VMSingle", {"securityContext": {"enabled": True, "runAsUser": 1000}}),
    "a context in the values of a chart": ("VMSingle", {"spec": {"securityContext": {"runAsUser": 1000}}}),
    "a container with another name": ("VMSingle", {"containers": [{"name": "victoria-metrics"}]}),
    "a context with another name": ("VMSingle", {"podSecurityContext": {"runAsUser": 5}}),
    "a token with another name": ("VMAgent", _vmagent({"automountServiceAccountToken": False})),
    "a context of a backup": (
        "VMSingle",
        {**CLAIM, "vmBackup": {"acceptEULA": True, "destination": "s3://x", "securityContext": {"runAsUser": 5}}},
    ),
    "a moved path in a zone": (
        "VMDistributed",
        {"zones": [{"name": "a", "vmcluster": {"spec": {"vmselect": {"extraArgs": {"cacheDataPath": "/x"}}}}}]},
    ),
    "a sidecar of all zones": (
        "VMDistributed",
        {
            "zones": [{"name": "a"}, {"name": "b"}],
            "zoneCommon": {"vmcluster": {"spec": {"vmstorage": _sidecar({"privileged": True})}}},
        },
    ),
    "a context of the balancer of all zones": (
        "VMDistributed",
        {"zones": [{"name": "a"}], "vmauth": {"spec": {"port": "80"}}},
    ),
    "a context in a zone that no pod can have": (
        "VMDistributed",
        {
            "zones": [{"name": "a", "vmcluster": {"spec": {"vmselect": {"securityContext": {"runAsUser": 0}}}}}],
            "zoneCommon": {"vmcluster": {"spec": {"vmselect": {"securityContext": {"runAsNonRoot": True}}}}},
        },
    ),
}
"""Resources by what is wrong with them, each with its kind and spec."""

KINDS_JUDGED = {each.kind for each in KINDS}


def _field_resources() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(FIELD.glob("*/*.yaml")):
        try:
            inputs = sort_documents(read_files([str(file)])).inputs
        except Exception:  # noqa: BLE001, S112 - files that cannot be read are among the cases
            continue
        for number, each in enumerate(inputs):
            if each.kind in KINDS_JUDGED:
                yield f"{file.relative_to(FIELD)} {number}", {**each.object, "spec": each.object.get("spec") or {}}


def _golden_resources() -> Iterator[tuple[str, dict[str, Any]]]:
    for case in CASES:
        for each in case.objects:
            if each["kind"] in KINDS_JUDGED and not each["metadata"].get("ownerReferences"):
                yield case.path.name, each


def _different(resources: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """One resource of each kind and spec."""
    seen = {json.dumps((each["kind"], each["spec"]), sort_keys=True): name for name, each in resources.items()}
    return {name: resources[name] for name in seen.values()}


FLAWED = _different(
    {
        **{name: resource(kind, spec=spec) for name, (kind, spec) in SAMPLES.items()},
        **dict(_field_resources()),
        **dict(_golden_resources()),
    }
)
