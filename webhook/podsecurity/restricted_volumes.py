"""Volumes must have a type that gives a pod no access to the node, and no storage without a claim.

Fields:
    spec.volumes[*]

Allowed: the sources in `_ALLOWED`, and no source. Every version. A pod requests other storage with a
persistentVolumeClaim.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed
from webhook.podsecurity.pod_view import Json, PodView, object_at, objects_at, string_at

_ALLOWED = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_RESTRICTED = (  # in the order that decides which one is named, if a volume has several
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
)


def _allowed(volume: Json) -> bool:
    bare = True
    for key, value in volume.items():
        if key in _ALLOWED and isinstance(value, dict):
            return True
        bare = bare and (key == "name" or value is None)
    # The API server makes a volume without a source an emptyDir. One with a source unknown here is not bare: it may be
    # of a new type, and the standard lists what is allowed.
    return bare


def _type(volume: Json) -> str:
    return next((source for source in _RESTRICTED if object_at(volume, source) is not None), "unknown")


def _v1_0(pod: PodView) -> Forbidden | None:
    bad = [volume for volume in objects_at(pod.spec, "volumes") if not _allowed(volume)]
    if not bad:
        return None
    verb = "uses" if len(bad) == 1 else "use"
    names = [string_at(volume, "name") for volume in bad]
    types = sorted({_type(volume) for volume in bad})
    return Forbidden(
        "restricted volume types",
        f"{listed('volume', names)} {verb} {listed('restricted volume type', types)}",
    )


CHECK = Check("restrictedVolumes", Level.RESTRICTED, ((OLDEST, _v1_0),), overrides=("hostPathVolumes",))
