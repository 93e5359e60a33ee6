"""Files that a pod wrote as one user and will need as another are found by user, volume and driver."""

import shlex

import pytest

from webhook.audit.data_ownership import check
from webhook.audit.recreated_pod import RecreatedPod
from webhook.audit.storage import Storage
from webhook.policy.components import BY_KIND
from webhook.policy.workload import Workload
from webhook.text import printable

CLUSTER = {component.name: component for component in BY_KIND["VMCluster"]}
STRICT = {"runAsUser": 65534, "runAsNonRoot": True, "fsGroup": 65534}

CSI = {"csi": {"driver": "d", "fsType": "ext4"}, "accessModes": ["ReadWriteOnce"]}
NFS = {"nfs": {"server": "s", "path": "/"}, "accessModes": ["ReadWriteOnce"]}


def _storage(volume, policy=None):
    storage = Storage()
    name = {"name": "vmstorage-db-vmstorage-c-0", "namespace": "mon"}
    storage.add({"kind": "PersistentVolumeClaim", "metadata": name, "spec": {"volumeName": "pv"}})
    if volume is not None:
        storage.add({"kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": volume})
    if policy is not None:
        storage.add({"kind": "CSIDriver", "metadata": {"name": "d"}, "spec": {"fsGroupPolicy": policy}})
    return storage


def _change(now=None, after=STRICT, *, source=None, mount=None, name="vmstorage", status=None):
    component = CLUSTER["vmstorage"]
    workload = Workload("VMCluster", "mon", "c", component, "StatefulSet", {})
    source = source or {"persistentVolumeClaim": {"claimName": "vmstorage-db-vmstorage-c-0"}}
    mounts = [{"name": "vmstorage-db", "mountPath": "/vm-data", **(mount or {})}]
    spec = {"volumes": [{"name": "vmstorage-db", **source}], "containers": [{"name": name, "volumeMounts": mounts}]}
    before = {"spec": {**spec, "securityContext": now or {}}, **({"status": status} if status else {})}
    return RecreatedPod("mon", "vmstorage-c-0", workload, before, {"spec": {**spec, "securityContext": after}})


@pytest.mark.parametrize(
    ("storage", "verdict"),
    [
        (_storage(NFS), "BREAKS"),
        (_storage({"hostPath": {"path": "/d"}}), "BREAKS"),
        (_storage(CSI, "None"), "BREAKS"),
        (_storage(CSI, "File"), "CHECK"),
        (_storage(CSI), "CHECK"),
        (_storage({**CSI, "csi": {"driver": "d"}}), "BREAKS"),
        (_storage({**CSI, "accessModes": ["ReadWriteMany"]}), "BREAKS"),
        (_storage({**CSI, "accessModes": ["ReadWriteMany"]}, "File"), "CHECK"),
        (_storage({"local": {"path": "/d"}}), "CHECK"),
        (_storage(None), "CHECK"),
        (Storage(), "CHECK"),
    ],
)
def test_a_claim_that_root_wrote_is_judged_by_what_the_kubelet_does_with_fsgroup(storage, verdict):
    (finding,) = check(_change(), storage)
    assert (finding.id, finding.verdict) == ("data-ownership", verdict)
    assert finding.text.startswith("claim vmstorage-db (")
    assert "was written as root, pods will run as 65534" in finding.text
    assert finding.fix


def test_the_words_for_nfs_and_for_a_driver_that_applies_fsgroup():
    (nfs,) = check(_change(), _storage(NFS))
    assert nfs.text == "claim vmstorage-db (NFS, ignores fsGroup) was written as root, pods will run as 65534"
    assert nfs.fix.startswith("# VMCluster mon/c\nspec:\n  vmstorage:\n    securityContext:\n      runAsUser: 0\n")
    assert "kubectl exec -n mon vmstorage-c-0 -c vmstorage -- chown -R 65534 -- /vm-data" in nfs.fix
    (csi,) = check(_change(), _storage(CSI, "File"))
    assert csi.text.endswith("pods will run as 65534: the first start changes ownership and may take long")


@pytest.mark.parametrize(
    ("now", "after", "status"),
    [
        (STRICT, STRICT, None),
        ({"runAsUser": 1000}, {"runAsUser": 1000}, None),
        ({}, {"runAsUser": 0}, None),
        ({}, {}, None),
        ({}, STRICT, {"containerStatuses": [{"name": "vmstorage", "user": {"linux": {"uid": 65534}}}]}),
    ],
)
def test_an_equal_user_is_no_finding(now, after, status):
    assert check(_change(now, after, status=status), _storage(NFS)) == []


def test_the_reported_user_counts_before_the_spec():
    status = {"containerStatuses": [{"name": "vmstorage", "user": {"linux": {"uid": 1001}}}]}
    (finding,) = check(_change({"runAsUser": 7}, status=status), _storage(NFS))
    assert "was written as user 1001" in finding.text


def test_a_container_of_the_user_has_an_image_whose_user_is_not_known():
    (finding,) = check(_change(name="side"), _storage(NFS))
    assert (finding.verdict, "is not known" in finding.text) == ("CHECK", True)
    assert finding.fix == "kubectl exec -n mon vmstorage-c-0 -c side -- stat -c '%u:%g %a %n' -- /vm-data"


def test_a_volume_that_is_only_read_may_be_unreadable():
    source = {"hostPath": {"path": "/var/log"}}
    (finding,) = check(_change(source=source, mount={"readOnly": True}), Storage())
    assert (finding.verdict, "may not be able to read it" in finding.text) == ("CHECK", True)


@pytest.mark.parametrize(
    "source", [{"emptyDir": {}}, {"configMap": {"name": "c"}}, {"secret": {"secretName": "s"}}, {}]
)
def test_a_volume_whose_files_end_with_the_pod_is_no_finding(source):
    assert check(_change(source=source or {"projected": {}}), Storage()) == []


def test_a_group_that_stays_changes_no_file():
    (finding,) = check(_change({"fsGroup": 65534}), _storage(CSI, "File"))
    assert (finding.verdict, "the group stays" in finding.text) == ("CHECK", True)


@pytest.mark.parametrize("path", ["/d; rm -rf /", "$(reboot)", "/d\n# reboot", "`reboot`", "/a b'c"])
def test_a_command_to_copy_runs_nothing_that_a_path_holds(path):
    """A path is a tenant's text; the reader of a report pastes the command into a shell."""
    for finding in (
        *check(_change(mount={"mountPath": path}), _storage(NFS)),
        *check(_change(mount={"mountPath": path}, name="side"), _storage(NFS)),
        *check(_change(mount={"mountPath": path}), _storage(CSI, "File")),
    ):
        (line,) = [each for each in finding.fix.splitlines() if "kubectl exec" in each]
        words = shlex.split(line.partition("kubectl")[1] + line.partition("kubectl")[2])
        assert words[-1] == printable(path)


def test_the_worst_of_several_mounts_of_a_volume_counts():
    """A tenant must not hide evidence behind a mount that only reads."""
    change = _change()
    reads = {"name": "aaa", "volumeMounts": [{"name": "vmstorage-db", "mountPath": "/x", "readOnly": True}]}
    for pod in (change.now, change.after):
        pod["spec"]["containers"] = [reads, *pod["spec"]["containers"]]
    (finding,) = check(change, _storage(NFS))
    assert finding.verdict == "BREAKS"


@pytest.mark.parametrize("change", [_change(source={"hostPath": {"path": "/var/lib"}}), _change({"runAsUser": 1000})])
def test_a_change_of_owner_is_advised_only_where_it_is_possible_and_harmless(change):
    (finding,) = check(change, _storage(NFS))
    assert (finding.verdict, "chown" in finding.fix) == ("BREAKS", False)


def test_a_csi_volume_of_the_pod_may_be_a_share_that_stays():
    (finding,) = check(_change(source={"csi": {"driver": "file.csi.azure.com"}}), Storage())
    assert finding.verdict == "CHECK"


@pytest.mark.parametrize("modes", [5, [{}], "ReadWriteOnce", None])
def test_access_modes_of_a_wrong_type_are_none(modes):
    (finding,) = check(_change(), _storage({**CSI, "accessModes": modes}))
    assert finding.verdict == "BREAKS"
