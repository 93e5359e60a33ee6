"""What the kubelet does with `fsGroup` for the volume of a claim, by its PersistentVolume and CSI driver. Pure.

Source: Kubernetes 1.37, `pkg/volume`: a CSI volume follows `CSIDriver.spec.fsGroupPolicy`, which is
ReadWriteOnceWithFSType where it or the driver's object is absent.
"""

from webhook.policy.conditions import text_at
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.volume_groups import CLAIM, SOURCES, VolumeGroup, group_in_pod, of_source, source_of

_SINGLE = ("ReadWriteOnce", "ReadWriteOncePod")


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

    def groups_of(self, namespace: str, pod: Raw) -> dict[str, VolumeGroup]:
        """What becomes of `fsGroup` for each volume of a pod where data outlive the pod, by the volume's name."""
        name = text_at(pod, ("metadata", "name"))
        found = {}
        for volume in objects_of(object_of(pod.get("spec")).get("volumes")):
            group = group_in_pod(volume, name)
            if group and source_of(volume) == CLAIM:
                group = self._of_claim(namespace, text_at(volume, (CLAIM, "claimName")), group.name)
            if group:
                found[text_at(volume, ("name",))] = group
        return found

    def _of_claim(self, namespace: str, claim: str, shown: str) -> VolumeGroup:
        found = self._claims.get((namespace, claim))
        if found is None:
            why = self._unreadable.get("PersistentVolumeClaim", "it was not found")
            return VolumeGroup("unknown", shown, why)
        name = str(found.get("volumeName") or "")
        volume = self._volumes.get(name)
        if volume is None:
            why = self._unreadable.get("PersistentVolume", "it has no PersistentVolume")
            return VolumeGroup("unknown", shown, why)
        wanted = volume.get("accessModes") or found.get("accessModes")
        modes = tuple(each for each in wanted if isinstance(each, str)) if isinstance(wanted, list) else ()
        if found.get("volumeMode") == "Block":
            return VolumeGroup("ignored", shown, "a block device")
        if isinstance(volume.get("csi"), dict):
            return self._of_driver(shown, volume["csi"], modes)
        return of_source(shown, next((each for each in SOURCES if volume.get(each) is not None), ""))

    def _of_driver(self, shown: str, csi: Raw, modes: tuple[str, ...]) -> VolumeGroup:
        driver = str(csi.get("driver"))
        if driver not in self._drivers and "CSIDriver" in self._unreadable:
            return VolumeGroup("unknown", shown, f"CSI {driver}: {self._unreadable['CSIDriver']}")
        policy = self._drivers.get(driver, {}).get("fsGroupPolicy") or "ReadWriteOnceWithFSType"
        if policy == "File":
            return VolumeGroup("applied", shown, f"CSI {driver}")
        if policy == "None":
            return VolumeGroup("ignored", shown, f"CSI {driver}, fsGroupPolicy None")
        if not csi.get("fsType"):
            return VolumeGroup("ignored", shown, f"CSI {driver} without fsType, ignores fsGroup")
        if any(mode in _SINGLE for mode in modes):
            return VolumeGroup("applied", shown, f"CSI {driver}")
        why = f"CSI {driver}, {' and '.join(modes) or 'no access mode'}, ignores fsGroup"
        return VolumeGroup("ignored", shown, why)
