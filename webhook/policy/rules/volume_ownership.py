"""volume-ownership: whoever runs as somebody else must still be able to read and write what is on a volume.

The kubelet gives a volume to `fsGroup` when it mounts it: group and group permissions of everything on it, the owner
stays. It does not for hostPath and NFS, nor where a CSI driver says so (`fsGroupPolicy: None`). With
`fsGroupChangePolicy: OnRootMismatch` it does so once, when the volume's root folder is not the group's yet; with
millions of files the first start takes its time.

Told to whoever applies the resource: of hostPath and NFS volumes that a container which is not root may write to, and
when an update turns strict security on for a component that keeps its data on a claim.
"""

from typing import Any

from webhook.policy.findings import Finding, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import Prospect

ID = "volume-ownership"

_IGNORE = {"hostPath": "hostPath", "nfs": "NFS"}


def check(prospect: Prospect, posture: Posture) -> list[Finding]:
    """Findings for the volumes of one strict pod."""
    if posture.security_context != "strict":
        return []
    findings: list[Finding] = []
    spec = prospect.pod["spec"]
    for volume in spec["volumes"]:
        kind = next((shown for field, shown in _IGNORE.items() if volume.get(field) is not None), None)
        writer = _writer(spec, volume.get("name")) if kind else None
        if writer:
            text = f"volume {volume.get('name')!r} is {kind}, which ignores fsGroup: container {writer!r} is not root"
            findings.append(Warn(ID, f"{text} and can write there only if the owner of the files lets it"))
    if prospect.turned_strict and prospect.claim:
        findings.append(_turned(prospect.claim))
    return findings


def _turned(claim: str) -> Warn:
    return Warn(
        ID,
        f"strict security is new here and volume {claim!r} holds data of the user before (root, unless the resource or"
        " the image says otherwise): at the first start the kubelet gives it to the pod's fsGroup, which takes time"
        " with many files and does not happen on NFS or where the CSI driver's fsGroupPolicy is None",
    )


def _writer(spec: dict[str, Any], volume: Any) -> str | None:
    """The first container that may write to a volume and does not run as root."""
    pod = spec.get("securityContext") or {}
    for container in (*spec["initContainers"], *spec["containers"]):
        context = {**pod, **(container.get("securityContext") or {})}
        user = context.get("runAsUser")
        root = user == 0 or (user is None and context.get("runAsNonRoot") is not True)
        mounts = container.get("volumeMounts") or []
        if not root and any(m.get("name") == volume and not m.get("readOnly") for m in mounts):
            return str(container["name"])
    return None
