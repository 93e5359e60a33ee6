"""What the kubelet does with `fsGroup` for a volume, by its claim, PersistentVolume and CSI driver. Pure.

Source: Kubernetes 1.37, `pkg/volume`: a CSI volume follows `CSIDriver.spec.fsGroupPolicy`, which is
ReadWriteOnceWithFSType where it or the driver's object is absent. The volumes of hostPath and NFS, and CephFS,
GlusterFS and Quobyte in the tree, are left unchanged.
"""

from collections.abc import Mapping

import msgspec

from webhook.policy.json_access import Raw, object_of
from webhook.policy.volume_users import NO_DATA, Group

_IN_TREE: Mapping[str, tuple[str, Group]] = {
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
"""Sources that a pod or a PersistentVolume may name: how they are called, and what becomes of `fsGroup`."""

_KEEPS_NOTHING = NO_DATA | {"gitRepo"}
"""Sources whose files do not outlive the pod, or that no container writes to."""

_SINGLE = ("ReadWriteOnce", "ReadWriteOncePod")


class VolumeGroup(msgspec.Struct, frozen=True):
    """What becomes of `fsGroup` for one volume; `shown` names the volume and the reason: `claim data (NFS, …)`."""

    handling: Group
    shown: str


class Storage:
    """The claims, volumes and drivers of a cluster. `unreadable` has by kind why objects are not known."""

    def __init__(self, unreadable: dict[str, str] | None = None) -> None:
        self._claims: dict[tuple[str, str], Raw] = {}
        self._volumes: dict[str, Raw] = {}
        self._drivers: dict[str, Raw] = {}
        self._unreadable = {} if unreadable is None else unreadable

    def add(self, thing: Raw) -> None:
        """Take one PersistentVolumeClaim, PersistentVolume or CSIDriver."""
        metadata = object_of(thing.get("metadata"))
        name, spec = str(metadata.get("name")), object_of(thing.get("spec"))
        if thing.get("kind") == "PersistentVolumeClaim":
            self._claims[str(metadata.get("namespace")), name] = spec
        elif thing.get("kind") == "PersistentVolume":
            self._volumes[name] = spec
        else:
            self._drivers[name] = spec

    def group_of(self, namespace: str, volume: Raw, shown: str = "") -> VolumeGroup | None:
        """What becomes of `fsGroup` for one volume of a pod; None where no data outlives the pod.

        `shown` is how its claim is named, "" for the claim's own name.
        """
        name = str(volume.get("name"))
        sources = [source for source, value in volume.items() if source != "name" and value is not None]
        source = sources[0] if sources else "emptyDir"
        if source in _KEEPS_NOTHING:
            return None
        if source == "persistentVolumeClaim":
            claim = str(object_of(volume[source]).get("claimName"))
            return self._of_claim(namespace, claim, shown or claim)
        return _in_tree(f"volume {name}", source)

    def _of_claim(self, namespace: str, claim: str, shown: str) -> VolumeGroup:
        shown = f"claim {shown}"
        found = self._claims.get((namespace, claim))
        if found is None:
            why = self._unreadable.get("PersistentVolumeClaim", "it was not found")
            return VolumeGroup("unknown", f"{shown} ({why})")
        name = str(found.get("volumeName") or "")
        volume = self._volumes.get(name)
        if volume is None:
            why = self._unreadable.get("PersistentVolume", "it has no PersistentVolume")
            return VolumeGroup("unknown", f"{shown} ({why})")
        wanted = volume.get("accessModes") or found.get("accessModes")
        modes = tuple(each for each in wanted if isinstance(each, str)) if isinstance(wanted, list) else ()
        if found.get("volumeMode") == "Block":
            return VolumeGroup("ignored", f"{shown} (a block device)")
        if isinstance(volume.get("csi"), dict):
            return self._of_driver(shown, volume["csi"], modes)
        source = next((each for each in _IN_TREE if volume.get(each) is not None), "")
        return _in_tree(shown, source)

    def _of_driver(self, shown: str, csi: Raw, modes: tuple[str, ...]) -> VolumeGroup:
        driver = str(csi.get("driver"))
        if driver not in self._drivers and "CSIDriver" in self._unreadable:
            return VolumeGroup("unknown", f"{shown} (CSI {driver}: {self._unreadable['CSIDriver']})")
        policy = self._drivers.get(driver, {}).get("fsGroupPolicy") or "ReadWriteOnceWithFSType"
        if policy == "File":
            return VolumeGroup("applied", f"{shown} (CSI {driver})")
        if policy == "None":
            return VolumeGroup("ignored", f"{shown} (CSI {driver}, fsGroupPolicy None)")
        if not csi.get("fsType"):
            return VolumeGroup("ignored", f"{shown} (CSI {driver} without fsType, ignores fsGroup)")
        if any(mode in _SINGLE for mode in modes):
            return VolumeGroup("applied", f"{shown} (CSI {driver})")
        return VolumeGroup(
            "ignored", f"{shown} (CSI {driver}, {' and '.join(modes) or 'no access mode'}, ignores fsGroup)"
        )


def _in_tree(shown: str, source: str) -> VolumeGroup:
    called, handling = _IN_TREE.get(source, (f"source {source}" if source else "source not known", "unknown"))
    ignores = ", ignores fsGroup" if handling == "ignored" else ""
    return VolumeGroup(handling, f"{shown} ({called}{ignores})")
