"""read-only-root: a path that a container writes to must be on a writable volume."""

import pytest

from tests.support.preview_warnings import CLAIM, warnings_on
from webhook.policy.json_access import within


def test_a_backup_container_writes_where_the_data_are():
    backup = {"vmBackup": {"acceptEULA": True, "restore": {"onStart": {"enabled": True}}}}
    assert warnings_on("VMSingle", {**CLAIM, **backup}) == []
    assert warnings_on("VMCluster", {"vmstorage": {**CLAIM, **backup, "storageDataPath": "/x"}}) == []
    lines = warnings_on("VMSingle", {**backup, "storageDataPath": "/x"}, "read-only-root")
    assert [line.partition(" writes to /x (storageDataPath)")[0] for line in lines] == [
        "vmsingle: container 'vmsingle'",
        "vmsingle: container 'vmbackuper'",
        "vmsingle: container 'vmbackuper-restore'",
    ]


def test_a_backup_containers_own_arguments_and_mounts_count():
    backup = {"acceptEULA": True, "extraArgs": {"storageDataPath": "/y"}}
    spec = {"vmBackup": backup, "volumes": [{"name": "v", "emptyDir": {}}]}
    (warning,) = warnings_on("VMSingle", spec, "read-only-root")
    assert warning.startswith("vmsingle: container 'vmbackuper' writes to /y (storageDataPath)")
    backup["volumeMounts"] = [{"name": "v", "mountPath": "/y"}]
    assert warnings_on("VMSingle", spec, "read-only-root") == []


@pytest.mark.parametrize(
    ("kind", "spec", "path"),
    [
        ("VMSingle", {"extraArgs": {"storageDataPath": "/x/y"}}, "/x/y (storageDataPath)"),
        ("VMSingle", {"storageDataPath": "/x"}, "/x (storageDataPath)"),
        ("VMSingle", {"extraArgs": {"cacheDataPath": "rel"}}, "/rel (cacheDataPath)"),
        ("VMAgent", {"remoteWriteSettings": {"tmpDataPath": "/x"}}, "/x (remoteWrite.tmpDataPath)"),
        ("VMAlertmanager", {"extraArgs": {"storage.path": "/x"}}, "/x (storage.path)"),
        ("VMAuth", {"extraArgs": {"tlsAutocertCacheDir": "/x"}}, "/x (tlsAutocertCacheDir)"),
        ("VMCluster", {"vmselect": {"extraArgs": {"cacheDataPath": "/x"}}}, "/x (cacheDataPath)"),
        ("VMSingle", {"containers": [{"name": "vmsingle", "args": ["--storageDataPath=/x"]}]}, "/x (storageDataPath)"),
    ],
)
def test_a_path_on_no_writable_volume_is_a_warning_where_the_root_is_read_only(kind, spec, path):
    (warning,) = warnings_on(kind, spec, "read-only-root")
    assert f"writes to {path}, its root filesystem is read-only and no writable volume" in warning
    root = spec.get("vmselect", spec)
    root["securityContext"] = {}
    assert warnings_on(kind, spec, "read-only-root") == []


@pytest.mark.parametrize(
    ("volume", "mount", "count"),
    [
        ({"emptyDir": {}}, {"mountPath": "/x"}, 0),
        ({"emptyDir": {}}, {"mountPath": "/"}, 0),
        ({"emptyDir": {}}, {"mountPath": "/x/y/"}, 0),
        ({"emptyDir": {}}, {"mountPath": "/x/y/z"}, 1),
        ({"emptyDir": {}}, {"mountPath": "/x/yy"}, 1),
        ({"emptyDir": {}}, {"mountPath": "/x", "readOnly": True}, 1),
        ({"secret": {"secretName": "s"}}, {"mountPath": "/x"}, 1),
        ({"configMap": {"name": "s"}}, {"mountPath": "/x"}, 1),
        ({"persistentVolumeClaim": {"claimName": "c"}}, {"mountPath": "/x"}, 0),
        ({"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}, {"mountPath": "/x"}, 1),
        ({"nfs": {"server": "s", "path": "/", "readOnly": True}}, {"mountPath": "/x"}, 1),
        ({"csi": {"driver": "d", "readOnly": True}}, {"mountPath": "/x"}, 1),
        ({"image": {"reference": "i"}}, {"mountPath": "/x"}, 1),
    ],
)
def test_a_writable_mount_that_contains_the_path_suffices(volume, mount, count):
    spec = {"extraArgs": {"storageDataPath": "/x/y"}, "volumes": [{"name": "v", **volume}]}
    spec["volumeMounts"] = [{"name": "v", **mount}]
    assert len(warnings_on("VMSingle", spec, "read-only-root")) == count


@pytest.mark.parametrize(
    ("spec", "moved"),
    [
        ({"vmstorage": {"storageDataPath": "/x"}}, "VMCluster"),
        ({"vmselect": {"cacheMountPath": "/x"}}, "VMCluster"),
        ({"storageDataPath": "/x", "volumes": [{"name": "data", "emptyDir": {}}]}, "VMSingle"),
    ],
)
def test_the_operators_own_volume_follows_the_path_field_of_the_resource(spec, moved):
    assert warnings_on(moved, spec) == []


@pytest.mark.parametrize(
    ("backup", "path"),
    [
        ({"destination": "fs:///backup"}, "/backup"),
        ({"destination": "fs:///backup/a/"}, "/backup/a"),
        ({"destination": "s3://bucket/backup"}, ""),
        ({"extraArgs": {"dst": "fs:///backup"}}, "/backup"),
        ({"destination": "fs:///backup", "volumeMounts": [{"name": "v", "mountPath": "/backup"}]}, ""),
        ({"destination": "fs:///backup", "volumeMounts": [{"name": "v", "mountPath": "/other"}]}, "/backup"),
        (
            {"destination": "fs:///backup", "volumeMounts": [{"name": "v", "mountPath": "/backup", "readOnly": True}]},
            "/backup",
        ),
        ({"destination": "fs:///backup", "volumeMounts": [{"name": "none", "mountPath": "/backup"}]}, "/backup"),
        ({"destination": "fs:///victoria-metrics-data/backup"}, ""),
    ],
    ids=str,
)
def test_a_backup_to_a_folder_needs_a_writable_volume_there(backup, path):
    accepted = {"acceptEULA": True, **backup}
    spec = {**CLAIM, "vmBackup": accepted, "volumes": [{"name": "v", "emptyDir": {}}]}
    expected = [
        f"vmsingle: container 'vmbackuper' writes to {path} (dst), its root filesystem is read-only and no writable"
        " volume is mounted there: add one with volumes and vmBackup.volumeMounts [read-only-root]"
    ]
    assert warnings_on("VMSingle", spec, "read-only-root") == (expected if path else [])
    of_cluster = warnings_on("VMCluster", {"vmstorage": {**spec, "storageDataPath": "/victoria-metrics-data"}})
    assert of_cluster == ([each.replace("vmsingle", "vmstorage") for each in expected] if path else [])
    assert warnings_on("VMSingle", {**spec, "useStrictSecurity": False}, "read-only-root") == []


@pytest.mark.parametrize("place", [("destination",), ("extraArgs", "dst")], ids=".".join)
def test_a_backup_to_a_folder_that_is_no_absolute_path_cannot_start(place):
    backup = {"acceptEULA": True, "volumeMounts": [{"name": "v", "mountPath": "/backup"}]}
    backup |= within(place[:-1], {place[-1]: "fs://backup"})
    spec = {**CLAIM, "vmBackup": backup, "volumes": [{"name": "v", "emptyDir": {}}]}
    assert warnings_on("VMSingle", spec, "read-only-root") == [
        "vmsingle: container 'vmbackuper' exits at its start: fs://backup (dst) is not an absolute path. Write"
        " fs:///backup [read-only-root]"
    ]
    backup |= within(place[:-1], {place[-1]: "fs://%{DIR}/x"})
    assert warnings_on("VMSingle", spec, "read-only-root") == [], "where that is, is not known"


@pytest.mark.parametrize(
    ("given", "made"),
    [({}, 0), ({"license": {}}, 0), ({"license": {"key": "x"}}, 1), ({"license": {"keyRef": {"name": "x"}}}, 1)],
    ids=str,
)
def test_a_backup_container_needs_a_license_or_the_eula(given, made):
    """Without one the operator makes the restore container alone."""
    backup = {"destination": "fs:///backup"}
    assert len(warnings_on("VMSingle", {**CLAIM, "vmBackup": backup, **given})) == made
    of_cluster = {"vmstorage": {**CLAIM, "vmBackup": backup}, **given}
    assert len(warnings_on("VMCluster", of_cluster)) == made
    assert len(warnings_on("VMSingle", {**CLAIM, "vmBackup": {**backup, "acceptEULA": True}})) == 1
