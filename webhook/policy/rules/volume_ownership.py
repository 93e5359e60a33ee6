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
from webhook.policy.rules.subject import PreviewedPod

ID = "volume-ownership"

_IGNORE = {"hostPath": "hostPath", "nfs": "NFS"}


def check(prospect: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the volumes of one strict pod."""
    if posture.security_context != "strict":
        return []
    findings: list[Finding] = []
    spec = prospect.pod["spec"]
    writers = _writers(spec)
    for volume in spec["volumes"]:
        kind = next((shown for field, shown in _IGNORE.items() if volume.get(field) is not None), None)
        writer = writers.get(str(volume.get("name"))) if kind else None
        if writer:
            text = f"volume {volume.get('name')!r} is {kind}, which ignores fsGroup: container {writer!r} is not root"
            findings.append(Warn(ID, f"{text} and can write there only if the owner of the files lets it"))
    if prospect.turned_strict and prospect.claim:
        findings.append(_turned(prospect.claim))
    return findings


def _turned(claim: str) -> Warn:
    return Warn(
        ID,
        f"strict security is new here and volume {claim!r} holds data of the user before: at the first start the"
        " kubelet gives it to fsGroup, slowly where there are many files, never on NFS or with CSI fsGroupPolicy None",
    )


def _writers(spec: dict[str, Any]) -> dict[str, str]:
    """The first container that may write to a volume and does not run as root, by the volume's name."""
    pod = spec.get("securityContext") or {}
    writers: dict[str, str] = {}
    for container in (*spec["initContainers"], *spec["containers"]):
        context = {**pod, **(container.get("securityContext") or {})}
        user = context.get("runAsUser")
        if user == 0 or (user is None and context.get("runAsNonRoot") is not True):
            continue
        for mount in container.get("volumeMounts") or ():
            if not mount.get("readOnly"):
                writers.setdefault(str(mount.get("name")), str(container["name"]))
    return writers
