"""vmguard with a certificate of cert-manager, which also writes the CA bundle.

A CA of its own signs the certificate, so that a renewed certificate needs no other bundle. vmguard's own Secret and its
permissions are not needed then.
"""

from typing import Any

from webhook.manifests.installation import CONTAINER, labels
from webhook.manifests.roles import InstallationNames, cluster_role_without_ca

_GROUP = "cert-manager.io"
_FOLDER = "/etc/vmguard/certificates"
_KEY = {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"}

INJECTION = f"{_GROUP}/inject-ca-from"
"""The annotation by which cert-manager writes a bundle; its value is the namespace and the name of a Certificate."""


def issuers(names: InstallationNames) -> tuple[dict[str, Any], ...]:
    """The self-signed issuer, the CA, the issuer that signs with it, and the certificate that vmguard serves."""
    self_signed, ca, serving = (f"{names.service}-{what}" for what in ("self-signed", "issuer", "serving"))
    return (
        {**_head(names, "Issuer", self_signed), "spec": {"selfSigned": {}}},
        {
            **_head(names, "Certificate", ca),
            "spec": {
                "isCA": True,
                "commonName": ca,
                "secretName": ca,
                "duration": "87600h",
                "privateKey": dict(_KEY),
                "issuerRef": _issuer(self_signed),
            },
        },
        {**_head(names, "Issuer", ca), "spec": {"ca": {"secretName": ca}}},
        {
            **_head(names, "Certificate", serving),
            "spec": {
                "dnsNames": [f"{names.service}.{names.namespace}.svc"],
                "secretName": serving,
                "duration": "2160h",
                "renewBefore": "720h",
                "usages": ["server auth"],
                "privateKey": dict(_KEY),
                "issuerRef": _issuer(ca),
            },
        },
    )


def injected(names: InstallationNames, kind: str) -> dict[str, Any]:
    """The patch that has cert-manager write the bundle of one configuration."""
    annotations = {INJECTION: f"{names.namespace}/{names.service}-serving"}
    metadata = {"name": names.configuration, "annotations": annotations}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata}


def mounted(names: InstallationNames) -> dict[str, Any]:
    """The patch of the Deployment that mounts the certificate."""
    name = "certificates"
    container = {
        "name": CONTAINER,
        "env": [{"name": "VMGUARD_CERT_DIR", "value": _FOLDER}],
        "volumeMounts": [{"name": name, "mountPath": _FOLDER, "readOnly": True}],
    }
    volume = {"name": name, "secret": {"secretName": f"{names.service}-serving"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": names.account},
        "spec": {"template": {"spec": {"containers": [container], "volumes": [volume]}}},
    }


def only_reading(names: InstallationNames) -> dict[str, Any]:
    """The patch of the ClusterRole: vmguard only reads the configurations, as cert-manager writes the bundle."""
    role = cluster_role_without_ca(names)
    return {**role, "metadata": {"name": role["metadata"]["name"]}}


def replacement(names: InstallationNames) -> dict[str, Any]:
    """What an overlay for another namespace adds: the name of the certificate and the reference to it follow."""
    service = {"delimiter": ".", "index": 1}
    reference = {"delimiter": "/", "index": 0}
    place = f"metadata.annotations.[{INJECTION}]"
    return {
        "source": {"kind": "Deployment", "name": names.account, "fieldPath": "metadata.namespace"},
        "targets": [
            {
                "select": {"kind": "Certificate", "name": f"{names.service}-serving"},
                "fieldPaths": ["spec.dnsNames.0"],
                "options": service,
            },
            *(
                {"select": {"kind": kind, "name": names.configuration}, "fieldPaths": [place], "options": reference}
                for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
            ),
        ],
    }


def _issuer(name: str) -> dict[str, str]:
    return {"group": _GROUP, "kind": "Issuer", "name": name}


def _head(names: InstallationNames, kind: str, name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": names.namespace, "labels": labels(names)}
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": metadata}
