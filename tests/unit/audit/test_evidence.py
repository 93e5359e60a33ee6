"""Files that a pod wrote as one user and will need as another are found by user, volume and driver."""

import shlex

import pytest

from webhook.audit.evidence import evidence
from webhook.audit.storage import Storage
from webhook.policy.components import BY_KIND
from webhook.policy.pod_subject import replaced_pod
from webhook.policy.rules import sidecar
from webhook.policy.rules.owner_changers import words
from webhook.policy.rules.volume_ownership import check_replaced
from webhook.policy.workload import Workload
from webhook.settings import Settings
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
    source = source or {"persistentVolumeClaim": {"claimName": "vmstorage-db-vmstorage-c-0"}}
    mounts = [{"name": "vmstorage-db", "mountPath": "/vm-data", **(mount or {})}]
    spec = {"volumes": [{"name": "vmstorage-db", **source}], "containers": [{"name": name, "volumeMounts": mounts}]}
    before = {"metadata": {"name": "vmstorage-c-0"}, "spec": {**spec, "securityContext": now or {}}}
    return before | ({"status": status} if status else {}), {"spec": {**spec, "securityContext": after}}


WORKLOAD = Workload("VMCluster", "mon", "c", CLUSTER["vmstorage"], "StatefulSet", {})


def check(change, storage, **environment):
    """The evidence on volumes."""
    return [each for each in _all(change, storage, **environment) if each.id == "volume-ownership"]


def _all(change, storage, **environment):
    return evidence(_replaced(change, storage, **environment), WORKLOAD, lambda _: None)


def _replaced(change, storage, **environment):
    now, after = change
    settings = Settings.from_environment(environment)
    return replaced_pod(WORKLOAD, now, after, settings, storage.groups_of("mon", now))


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
    assert (finding.id, finding.verdict) == ("volume-ownership", verdict)
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
    assert finding.fix == "kubectl exec -n mon vmstorage-c-0 -c side -- stat -- /vm-data"


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
    after = {**STRICT, "fsGroupChangePolicy": "OnRootMismatch"}
    (finding,) = check(_change({"fsGroup": 65534}, after), _storage(CSI, "File"))
    assert (finding.verdict, "no start changes a file" in finding.text) == ("CHECK", True)
    (finding,) = check(_change({"fsGroup": 65534}), _storage(CSI, "File"))
    assert (finding.verdict, "each start changes ownership" in finding.text) == ("CHECK", True)


def test_a_new_group_for_an_equal_user_is_no_evidence_against_the_pod():
    (finding,) = check(_change({"runAsUser": 65534}), _storage(CSI, "File"))
    assert (finding.verdict, finding.text.partition(")")[2]) == (
        "ok",
        " gets fsGroup 65534: the first start changes ownership and may take long",
    )
    assert check(_change({"runAsUser": 65534}), _storage(NFS)) == []


@pytest.mark.parametrize("storage", [_storage(NFS), _storage(CSI, "File"), Storage()])
def test_an_audit_and_a_review_say_the_same_of_a_running_pod(storage):
    pod = _replaced(_change(), storage)
    (finding,), (warning,) = evidence(pod, WORKLOAD, lambda _: None), check_replaced(pod)
    assert warning.rule == finding.id
    assert warning.text.startswith(finding.text)


def test_without_fsgroup_a_claim_that_is_not_known_is_not_said_to_break():
    after = {"runAsUser": 1000}
    assert [each.verdict for each in check(_change({}, after), Storage())] == ["CHECK"]
    assert [each.verdict for each in check(_change({}, after), _storage(CSI, "File"))] == ["BREAKS"]


def test_a_container_of_the_user_that_inherits_another_user_is_found_by_audit_and_review():
    change = _change(name="side")
    (found,) = (each for each in _all(change, Storage()) if each.id == "sidecar")
    assert found.text == "container 'side' inherits user 65534 from the pod; now it runs as the user of its image"
    assert found.fix.startswith("kubectl exec -n mon vmstorage-c-0 -c side -- id -u")
    (warning,) = sidecar.check_replaced(_replaced(change, Storage()))
    assert warning.text.startswith(found.text)


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
    for pod in change:
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


PLATFORM = {"VMGUARD_RUN_AS": "platform"}


def test_a_user_that_the_platform_will_choose_is_never_guessed():
    change = _change({}, {"runAsNonRoot": True})
    for storage in (_storage(NFS), _storage(CSI, "File"), Storage()):
        (finding,) = check(change, storage, **PLATFORM)
        assert finding.verdict == "CHECK"
        assert finding.text.endswith("was written as root, the platform chooses the user of new pods")
        assert finding.fix == "kubectl exec -n mon vmstorage-c-0 -c vmstorage -- stat -- /vm-data"


@pytest.mark.parametrize(
    ("now", "after", "source"),
    [
        ({"runAsUser": 1000660000}, {"runAsUser": 1000660000, "runAsNonRoot": True}, None),
        ({}, {}, None),
        ({"runAsNonRoot": True}, {"runAsNonRoot": True}, None),
        ({}, {"runAsNonRoot": True}, {"emptyDir": {}}),
    ],
)
def test_where_the_platform_chose_before_or_no_data_stay_nothing_is_reported(now, after, source):
    assert check(_change(now, after, source=source), Storage(), **PLATFORM) == []


DROPS_ALL = {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"drop": ["ALL"]}}


def _two(before, after, *, other=65534, source=None):
    """The findings on a claim that two containers use: one gets another user, the other has these contexts."""
    now, then = _change({}, {}, source=source)
    for pod, context, user in ((now, before, 0), (then, after, other)):
        (first,) = pod["spec"]["containers"]
        beside = {**first, "name": "vmbackuper", "securityContext": context}
        pod["spec"]["containers"] = [{**first, "securityContext": {"runAsUser": user}}, beside]
    return [each.text for each in check((now, then), _storage(CSI, "File"))]


def test_root_that_loses_its_power_over_the_files_of_another_user_is_to_be_checked():
    written, root = _two({"runAsUser": 0}, DROPS_ALL)
    assert written.startswith("claim vmstorage-db (CSI d) was written as root")
    assert root == (
        "user 65534 writes to claim vmstorage-db (CSI d); root in container 'vmbackuper' loses DAC_OVERRIDE: perhaps"
        " it cannot read them"
    )


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        (DROPS_ALL, DROPS_ALL, {}),
        ({"runAsUser": 0}, {"runAsUser": 0}, {}),
        ({"runAsUser": 0}, {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}}, {}),
        ({"runAsUser": 0}, {**DROPS_ALL, "privileged": True}, {}),
        ({"runAsUser": 0}, DROPS_ALL, {"other": 0}),
        ({"runAsUser": 0}, DROPS_ALL, {"source": {"emptyDir": {}}}),
    ],
)
def test_root_that_keeps_its_power_or_shares_no_data_is_no_finding(before, after, more):
    assert not any("DAC_OVERRIDE" in each for each in _two(before, after, **more))


def _chowned(*command, **context):
    """A change of a pod whose new one has an init container with that command."""
    now, after = _change(after={**STRICT, "runAsUser": 65534})
    (container,) = after["spec"]["containers"]
    own = {"runAsUser": 0, "runAsNonRoot": False, **context}
    init = {"name": "own", "command": list(command), "volumeMounts": container["volumeMounts"], "securityContext": own}
    return now, {"spec": {**after["spec"], "initContainers": [init]}}


@pytest.mark.parametrize(
    "command",
    [
        ("chown", "-R", "65534:65534", "/vm-data"),
        ("/bin/chown", "--recursive", "65534", "/vm-data/"),
        ("sh", "-c", "chown -R 65534:65534 /vm-data && echo done"),
        ("chown", "-R", "65534:", "/"),
    ],
)
def test_data_that_an_init_container_gives_to_the_new_user_are_no_finding(command):
    """So the fix of `vmguard explain volume-ownership` makes its finding go away."""
    now, after = _chowned(*command)
    assert check((now, after), _storage(NFS)) == []
    shown = {**after["spec"]["initContainers"][0], "command": None}
    shown["args"] = words(after["spec"]["initContainers"][0])
    trimmed = {"spec": {**after["spec"], "initContainers": [shown]}}
    assert check((now, trimmed), _storage(NFS)) == []


@pytest.mark.parametrize(
    ("command", "context"),
    [
        (("chown", "-R", "1000:1000", "/vm-data"), {}),
        (("chown", "65534:65534", "/vm-data"), {}),
        (("chown", "-R", "65534", "/vm-data/part"), {}),
        (("chown", "-R", "nobody", "/vm-data"), {}),
        (("chown", "-R", "65534", "/vm-data"), {"runAsUser": 1000}),
        (("chown", "-R", "65534", "/vm-data"), {"runAsNonRoot": True}),
        (("chown", "-R", "65534", "/vm-data"), {"capabilities": {"drop": ["ALL"]}}),
        (("chmod", "-R", "777", "/vm-data"), {}),
    ],
    ids=str,
)
def test_an_init_container_that_does_not_surely_give_the_data_changes_nothing(command, context):
    assert [each.verdict for each in check(_chowned(*command, **context), _storage(NFS))] == ["BREAKS"]


def test_an_unknown_user_of_an_image_is_a_finding_only_with_a_platform():
    change = _change({"runAsUser": 7}, {"runAsNonRoot": True}, name="side")
    assert check(change, _storage(NFS)) == []
    assert [each.verdict for each in check(change, _storage(NFS), **PLATFORM)] == ["CHECK"]
