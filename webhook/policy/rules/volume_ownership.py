"""volume-ownership: a container that is not root must be able to read and write the files on its volumes.

When the kubelet mounts a volume it changes the group of every file to `fsGroup`, and gives the group access; the owner
of a file stays. It does not do so for hostPath and NFS, nor for CSI drivers with `fsGroupPolicy: None`. With
`fsGroupChangePolicy: OnRootMismatch` it does so only while the volume's root folder has another group. For millions of
files the first start takes a long time.

vmguard warns the person who applies the resource about hostPath and NFS volumes that a container without root may write
to. It also warns when an update turns on strict security for a component with its data on a PersistentVolumeClaim.
"""

from typing import Any

from webhook.policy.findings import Finding, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import PreviewedPod

ID = "volume-ownership"

_IGNORES_GROUP = {"hostPath": "hostPath", "nfs": "NFS"}


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the volumes of one strict pod."""
    if posture.security_context != "strict":
        return []
    findings: list[Finding] = []
    spec = pod.pod["spec"]
    writers = _writers(spec)
    for volume in spec["volumes"]:
        kind = next((shown for field, shown in _IGNORES_GROUP.items() if volume.get(field) is not None), None)
        writer = writers.get(str(volume.get("name"))) if kind else None
        if writer:
            text = f"volume {volume.get('name')!r} is {kind}, which ignores fsGroup: container {writer!r} is not root"
            findings.append(Warn(ID, f"{text} and can write there only if the owner of the files lets it"))
    if pod.turned_strict and pod.claim:
        findings.append(_new_owner(pod.claim))
    return findings


def _new_owner(claim: str) -> Warn:
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


RULE = Rule(id=ID, order=80, text=__doc__, preview=check)
