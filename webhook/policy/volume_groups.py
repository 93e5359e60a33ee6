"""What the kubelet does with `fsGroup` for a volume, as far as the pod alone shows it. Pure.

Source: Kubernetes 1.37, `pkg/volume`. The kubelet leaves the volumes of hostPath and NFS unchanged, and CephFS,
GlusterFS and Quobyte in the tree. The volume of a claim depends on its PersistentVolume and CSI driver, which only an
audit reads.
"""

import posixpath
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from webhook.policy.conditions import text_at
from webhook.policy.json_access import Raw, object_of, objects_of

Group = Literal["applied", "ignored", "unknown"]
"""Whether the kubelet applies fsGroup to a volume; `unknown` where its PersistentVolume or driver is not known."""

SOURCES: Mapping[str, tuple[str, Group]] = {
    "nfs": ("NFS", "ignored"),
    "hostPath": ("hostPath", "ignored"),
    "cephfs": ("CephFS", "ignored"),
    "quobyte": ("Quobyte", "ignored"),
    "glusterfs": ("GlusterFS", "ignored"),
    "azureFile": ("Azure Files", "unknown"),
    "csi": ("a CSI volume of the pod", "unknown"),
    "flexVolume": ("FlexVolume", "unknown"),
    "portworxVolume": ("Portworx", "applied"),
    "local": ("a local volume", "applied"),
    "awsElasticBlockStore": ("AWS EBS", "applied"),
    "azureDisk": ("Azure Disk", "applied"),
    "cinder": ("Cinder", "applied"),
    "fc": ("Fibre Channel", "applied"),
    "gcePersistentDisk": ("GCE PD", "applied"),
    "iscsi": ("iSCSI", "applied"),
    "rbd": ("Ceph RBD", "applied"),
    "scaleIO": ("ScaleIO", "applied"),
    "storageos": ("StorageOS", "applied"),
    "vsphereVolume": ("vSphere", "applied"),
}
"""Sources that a pod or a PersistentVolume may name: how people call them, and what becomes of `fsGroup`."""

NO_DATA = frozenset({"configMap", "downwardAPI", "emptyDir", "ephemeral", "gitRepo", "image", "projected", "secret"})
"""Sources whose files do not outlive the pod, or are not the pod's."""

CLAIM = "persistentVolumeClaim"

_NODES_FOLDERS = re.compile(
    r"/(?:bin|boot|dev|etc|lib|lib32|lib64|proc|run|sbin|sys|usr|var/run|var/log"
    r"|var/lib/(?:containerd|containers|docker|etcd|kubelet))(?:/.*)?|/|/(?:home|opt|root|var|var/lib)"
)
"""Paths of a node with files of its system, which must keep their owner."""

_NO_FOLDERS = frozenset({"Socket", "CharDevice", "BlockDevice"})
"""Types of a hostPath with neither files nor folders."""


class VolumeGroup(msgspec.Struct, frozen=True):
    """What becomes of `fsGroup` for one volume. `name` names it, such as `claim data`; `why` is the reason, or "".

    `source` is that of the volume or of its PersistentVolume, "" where it is not known. `of_node` is whether it is a
    hostPath to files of the node's system.
    """

    handling: Group
    name: str
    why: str = ""
    source: str = ""
    of_node: bool = False

    @property
    def shown(self) -> str:
        """The volume and the reason: `claim data (NFS, ignores fsGroup)`."""
        return f"{self.name} ({self.why})" if self.why else self.name


def group_in_pod(volume: Raw, pod: str = "") -> VolumeGroup | None:
    """What becomes of `fsGroup` for one volume of a pod; None where no data outlives the pod.

    `pod` is the name of the pod, "" for a predicted one: a claim that a StatefulSet makes for each pod has the name of
    its template.
    """
    source = source_of(volume)
    if source in NO_DATA:
        return None
    name = text_at(volume, ("name",))
    if source != CLAIM:
        group = of_source(f"volume {name}", source)
        return msgspec.structs.replace(group, of_node=_is_of_node(object_of(volume.get("hostPath"))))
    claim = text_at(volume, (CLAIM, "claimName"))
    return VolumeGroup("unknown", f"claim {name if claim == f'{name}-{pod}' else claim}")


def _is_of_node(host_path: Raw) -> bool:
    """Whether a hostPath leads to files of the node's system, or to a socket or device."""
    path = re.sub("^//+", "/", posixpath.normpath(text_at(host_path, ("path",)) or "."))
    return host_path.get("type") in _NO_FOLDERS or bool(_NODES_FOLDERS.fullmatch(path))


def of_source(name: str, source: str) -> VolumeGroup:
    """What becomes of `fsGroup` for a volume of that source; a source that is not in the table is unknown."""
    called, handling = SOURCES.get(source, (f"source {source}" if source else "source not known", "unknown"))
    return VolumeGroup(handling, name, f"{called}, ignores fsGroup" if handling == "ignored" else called, source)


def source_of(volume: Raw) -> str:
    """The source of a pod's volume; the API server makes a volume without a source an emptyDir."""
    return next((source for source, value in volume.items() if source != "name" and value is not None), "emptyDir")


def read_only_volumes(spec: Raw) -> frozenset[str]:
    """The names of the volumes of a raw pod spec that no container can write to, however it mounts them.

    A claim, NFS and most other sources have a field `readOnly`; the content of an image is never writable.
    """
    return frozenset(
        text_at(volume, ("name",))
        for volume in objects_of(spec.get("volumes"))
        if (source := source_of(volume)) == "image" or object_of(volume.get(source)).get("readOnly") is True
    )
