"""volume-ownership: data that the strict user may not be able to write are a warning."""

import pytest

from tests.support.preview_warnings import CLAIM, warnings_on
from tests.support.sample_pods import resource


@pytest.mark.parametrize(("source", "shown"), [({"hostPath": {"path": "/x"}}, "hostPath"), ({"nfs": {}}, "NFS")])
def test_a_writable_volume_that_ignores_fs_group_is_a_warning_for_users_other_than_root(source, shown):
    spec = {"volumes": [{"name": "v", **source}], "volumeMounts": [{"name": "v", "mountPath": "/x"}]}
    (warning,) = warnings_on("VMSingle", spec, "volume-ownership")
    assert warning.startswith(f"vmsingle: volume v ({shown}, ignores fsGroup): container 'vmsingle' is not root")
    spec["volumeMounts"][0]["readOnly"] = True
    assert warnings_on("VMSingle", spec, "volume-ownership") == []
    del spec["volumeMounts"]
    assert warnings_on("VMSingle", spec, "volume-ownership") == []


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ({"useStrictSecurity": False}, {"useStrictSecurity": True}, 1),
        ({"useStrictSecurity": False}, {}, 1),
        ({"securityContext": {}}, {}, 1),
        ({}, {}, 0),
        ({"useStrictSecurity": True}, {"useStrictSecurity": False}, 0),
        ({"useStrictSecurity": False}, {"securityContext": {"runAsUser": 1}}, 1),
        ({"useStrictSecurity": False}, {"securityContext": {"runAsUser": 0}}, 0),
        ({}, {"containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 7}}]}, 1),
        ({}, {"containers": [{"name": "side", "securityContext": {"runAsUser": 7}}]}, 0),
    ],
)
def test_a_new_user_over_data_of_another_one_is_a_warning(before, after, count):
    assert len(_updated("VMSingle", {**CLAIM, **before}, {**CLAIM, **after})) == count
    assert _updated("VMSingle", before, after) == []


def _updated(kind, before, after, **more):
    old = resource(kind, spec=before)
    return warnings_on(kind, after, "volume-ownership", operation="UPDATE", review={"oldObject": old}, **more)


CHECK = "Check: kubectl exec -n mon deploy/vmsingle-db -c vmsingle -- stat -- /victoria-metrics-data [volume-ownership]"


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (
            {},
            {"runAsUser": 1000},
            "root, pods will run as 1000 without fsGroup: set fsGroup: 1000",
        ),
        (
            {"runAsUser": 1000, "fsGroup": 1000},
            {"runAsUser": 2000, "fsGroup": 2000},
            "user 1000, pods will run as 2000: on NFS they cannot write, else the first start may take long",
        ),
        (
            {"runAsUser": 1000, "fsGroup": 5},
            {"runAsUser": 2000, "fsGroup": 5, "fsGroupChangePolicy": "OnRootMismatch"},
            "user 1000, pods will run as 2000: same fsGroup: no start changes a file: set fsGroupChangePolicy: Always",
        ),
        (
            {"runAsUser": 1000, "fsGroup": 5},
            {"runAsUser": 2000, "fsGroup": 5},
            "user 1000, pods will run as 2000: each start changes ownership and may take long",
        ),
    ],
)
def test_the_warning_says_what_becomes_of_the_data_and_how_to_see_their_owner(before, after, what):
    (warning,) = _updated("VMSingle", {**CLAIM, "securityContext": before}, {**CLAIM, "securityContext": after})
    assert warning == f"vmsingle: claim data was written as {what}. {CHECK}"


def test_a_new_group_of_the_same_user_is_a_warning():
    before, after = ({**CLAIM, "securityContext": {"runAsUser": 1, **more}} for more in ({}, {"fsGroup": 2}))
    assert _updated("VMSingle", before, after) == [
        f"vmsingle: claim data gets fsGroup 2: the first start changes ownership and may take long. {CHECK}"
    ]


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 1),
        ({"runAsGroup": 3}, 1),
        ({"runAsGroup": 2}, 0),
        ({"supplementalGroups": [5, 2]}, 0),
        ({"runAsUser": 2}, 0),
    ],
    ids=str,
)
def test_an_update_without_the_group_of_the_files_is_a_warning(more, count):
    own = {"runAsUser": 1, **more}
    before, after = ({**CLAIM, "securityContext": {**own, **group}} for group in ({"fsGroup": 2}, {}))
    lost = "claim data has files of group 2. Pods will not have this group and may not be able to write: set fsGroup: 2"
    assert _updated("VMSingle", before, after) == [f"vmsingle: {lost}. {CHECK}"] * count
    chown = {
        "name": "c",
        "image": "busybox",
        "command": ["chown", "-R", str(own["runAsUser"]), "/victoria-metrics-data"],
    }
    chown["volumeMounts"] = [{"name": "data", "mountPath": "/victoria-metrics-data"}]
    chown["securityContext"] = {"runAsUser": 0, "runAsNonRoot": False}
    assert _updated("VMSingle", before, {**after, "initContainers": [chown]}) == []


def test_a_volume_that_ignores_fs_group_is_named_once_at_an_update():
    spec = {"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/p"}}]}
    spec["volumeMounts"] = [{"name": "v", "mountPath": "/x"}]
    assert _updated("VMSingle", {**spec, "useStrictSecurity": False}, spec) == [
        "vmsingle: volume v (NFS, ignores fsGroup) was written as root, pods will run as 65534: chown it to 65534."
        " Check: kubectl exec -n mon deploy/vmsingle-db -c vmsingle -- stat -- /x [volume-ownership]"
    ]


def test_the_platform_chooses_the_user_of_strict_pods():
    before = {**CLAIM, "useStrictSecurity": False}
    assert _updated("VMSingle", before, CLAIM, VMGUARD_RUN_AS="platform") == []


def test_an_update_from_a_known_user_to_that_of_the_platform_is_a_warning():
    before = {**CLAIM, "securityContext": {"runAsUser": 1000}}
    assert _updated("VMSingle", before, CLAIM, VMGUARD_RUN_AS="platform") == [
        f"vmsingle: claim data was written as user 1000, the platform chooses the user of new pods. {CHECK}"
    ]


def test_alertmanager_does_not_run_as_root():
    claim = {"storage": {"volumeClaimTemplate": {}}}
    own = {**claim, "securityContext": {"runAsUser": 65534, "fsGroup": 65534}}
    (warning,) = _updated("VMAlertmanager", {**claim, "securityContext": {}}, own)
    assert "written" not in warning
    own["securityContext"] = {"runAsUser": 1}
    (warning,) = _updated("VMAlertmanager", {**claim, "securityContext": {}}, own)
    assert "was written as user 65534" in warning


def test_a_log_collector_that_is_not_root_cannot_use_the_files_of_the_node():
    collector = {"k8sCollector": {"enabled": True}}
    assert warnings_on("VLAgent", collector, "volume-ownership") == []
    assert warnings_on("VLAgent", {**collector, "securityContext": {"runAsUser": 0}}, "volume-ownership") == []
    context = {"runAsUser": 65534, "runAsNonRoot": True, "fsGroup": 65534}
    assert warnings_on("VLAgent", {**collector, "securityContext": context}, "volume-ownership") == [
        "vlagent: volume tmp-data (hostPath, ignores fsGroup): container 'vlagent' is not root and cannot write to"
        " /var/lib/vlagent-data, which root owns: remove runAsUser and runAsNonRoot from securityContext"
        " [volume-ownership]",
        "vlagent: container 'vlagent' runs as user 65534 and cannot read the logs of the node in /var/log and /var/lib,"
        " which root owns: remove runAsUser and runAsNonRoot from securityContext [volume-ownership]",
    ]


@pytest.mark.parametrize(
    ("path", "read_only", "context", "count"),
    [
        ("/var/log", True, None, 1),
        ("/var/log/pods/", True, None, 1),
        ("/var//lib/docker/containers", True, {"runAsUser": 1000}, 1),
        ("/var/log", True, {"runAsUser": 0, "runAsNonRoot": False}, 0),
        ("/", True, None, 0),
        ("/var/logs", True, None, 0),
        ("/mnt/log", True, None, 0),
    ],
)
def test_a_sidecar_that_is_not_root_may_not_read_the_logs_of_the_node(path, read_only, context, count):
    side = {"name": "logs", "image": "fluent-bit", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}
    side["volumeMounts"][0]["readOnly"] = read_only
    spec = {
        "volumes": [{"name": "v", "hostPath": {"path": path}}],
        "containers": [{**side, "securityContext": context} if context else side],
    }
    warnings = warnings_on("VMAuth", spec, "volume-ownership")
    assert len(warnings) == count
    text = f"the logs of the node in {path}, which root owns: give it securityContext: {{runAsUser: 0, runAsNonRoot"
    assert all("container 'logs' runs as user" in each and text in each for each in warnings)


@pytest.mark.parametrize("context", [{"runAsUser": 1000}, {"runAsNonRoot": True}])
@pytest.mark.parametrize("kind", ["VMAgent", "VMSingle", "VLSingle"])
def test_a_resources_own_user_counts_as_the_strict_one_does(kind, context):
    spec = {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}], "securityContext": context}
    spec["volumeMounts"] = [{"name": "v", "mountPath": "/x"}]
    assert any("volume v (hostPath" in each for each in warnings_on(kind, spec, "volume-ownership"))
    daemonset = {**spec, "daemonSetMode": True}
    assert any("volume v (hostPath" in each for each in warnings_on("VMAgent", daemonset, "volume-ownership"))


def test_root_of_an_image_does_not_count_where_run_as_non_root_forbids_it():
    """No advice to give files to root, and no "runs as root" of a container that may not."""
    mounts = {
        "volumes": [{"name": "v", "hostPath": {"path": "/x"}}],
        "volumeMounts": [{"name": "v", "mountPath": "/x"}],
    }
    context = {"securityContext": {"runAsNonRoot": True}}
    (warning,) = warnings_on("VMSingle", {**mounts, **context}, "volume-ownership")
    assert warning.endswith("can write there only if the owner of the files lets it [volume-ownership]")
    collector = warnings_on("VLAgent", {"k8sCollector": {"enabled": True}, **context}, "volume-ownership")
    assert any("container 'vlagent' runs as another user than root and cannot read" in each for each in collector)


@pytest.mark.parametrize(
    ("host_path", "of_node"),
    [
        ({"path": "/"}, True),
        ({"path": "/etc/"}, True),
        ({"path": "/var/log/pods"}, True),
        ({"path": "//run//containerd/containerd.sock"}, True),
        ({"path": "/mnt/agent.sock", "type": "Socket"}, True),
        ({"path": "/var/lib"}, True),
        ({"path": "/var/lib/metrics"}, False),
        ({"path": "/etcetera"}, False),
        ({"path": "/mnt/data", "type": "DirectoryOrCreate"}, False),
    ],
    ids=str,
)
def test_files_of_the_nodes_system_keep_their_owner(host_path, of_node):
    spec = {"volumes": [{"name": "v", "hostPath": host_path}], "volumeMounts": [{"name": "v", "mountPath": "/x"}]}
    (warning,) = warnings_on("VMAgent", spec, "volume-ownership")
    assert ("must keep their owner: mount it with readOnly: true" in warning) == of_node
    assert ("chown them to 65534" in warning) != of_node
    update = _updated("VMAgent", {**spec, "useStrictSecurity": False}, spec)
    assert ("must keep their owner: mount it with readOnly: true" in update[0]) == of_node
    assert ("chown it to 65534" in update[0]) != of_node


READ_ONLY = [{"nfs": {"server": "s", "path": "/x", "readOnly": True}}, {"image": {"reference": "i"}}]


@pytest.mark.parametrize("source", READ_ONLY, ids=str)
def test_a_read_only_volume_is_written_by_nobody(source):
    spec = {"volumes": [{"name": "v", **source}], "volumeMounts": [{"name": "v", "mountPath": "/x"}]}
    assert warnings_on("VMSingle", spec, "volume-ownership") == []


def test_another_user_of_a_read_only_volume_only_reads_it():
    claim = {"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}
    spec = {"volumes": [{"name": "v", **claim}], "volumeMounts": [{"name": "v", "mountPath": "/x"}]}
    (warning,) = _updated("VMSingle", {**spec, "useStrictSecurity": False}, spec)
    assert "they may not be able to read it" in warning


OFF = {"useStrictSecurity": False}
EXTRA = {
    "claimTemplates": [{"metadata": {"name": "extra"}, "spec": {}}],
    "volumeMounts": [{"name": "extra", "mountPath": "/extra"}],
}


@pytest.mark.parametrize(
    ("kind", "part"),
    [("VMCluster", "vmstorage"), ("VLCluster", "vlstorage"), ("VMAlertmanager", ""), ("VMAgent", "")],
)
def test_the_claims_of_a_resources_own_templates_have_data_too(kind, part):
    mode = {"statefulMode": True} if kind == "VMAgent" else {}
    before, after = {**EXTRA, **mode, **OFF}, {**EXTRA, **mode}
    context = {"securityContext": {"runAsUser": 1000, "fsGroup": 1000}} if kind == "VMAlertmanager" else {}
    old, new = ({part: each} if part else each for each in (before, {**after, **context}))
    (warning,) = _updated(kind, old, new)
    assert "claim extra was written as " in warning
    if kind == "VMAgent":
        assert _updated(kind, {**EXTRA, **OFF}, EXTRA) == [], "a Deployment makes no claims of them"


def test_a_claim_under_another_name_of_the_volume_has_the_same_data():
    def spec(volume, **more):
        source = {"name": volume, "persistentVolumeClaim": {"claimName": "c"}}
        return {"volumes": [source], "volumeMounts": [{"name": volume, "mountPath": "/d"}], **more}

    (warning,) = _updated("VMSingle", spec("a", **OFF), spec("b"))
    assert warning.startswith("vmsingle: claim c was written as root, pods will run as 65534")
    other = {**spec("b"), "volumes": [{"name": "b", "persistentVolumeClaim": {"claimName": "other"}}]}
    assert _updated("VMSingle", spec("a", **OFF), other) == []


@pytest.mark.parametrize(
    ("context", "count"),
    [
        ({"runAsUser": 0, "capabilities": {"drop": ["ALL"]}}, 1),
        ({"runAsUser": 0}, 0),
        ({"runAsUser": 0, "fsGroup": 1000, "capabilities": {"drop": ["ALL"]}}, 0),
    ],
)
def test_root_without_power_over_the_files_of_others_may_not_use_them(context, count):
    before = {**CLAIM, "securityContext": {"runAsUser": 1000, "fsGroup": 1000}}
    found = _updated("VMSingle", before, {**CLAIM, "securityContext": context})
    assert len(found) == count
    text = "claim data was written as user 1000; root in container 'vmsingle' lacks DAC_OVERRIDE and may not be able"
    assert all(text in each for each in found)


@pytest.mark.parametrize(
    ("context", "named"),
    [
        ({"runAsUser": 1000}, True),
        ({"runAsUser": 1000, "fsGroup": 5}, False),
        ({"runAsUser": 0}, False),
        ({"fsGroup": 1000}, False),
        ({}, False),
    ],
)
def test_a_new_claim_of_a_user_without_fs_group_is_roots(context, named):
    found = warnings_on("VMSingle", {**CLAIM, "securityContext": context}, "volume-ownership")
    text = "vmsingle: claim data: container 'vmsingle' runs as user 1000 without fsGroup, so it may not be able to"
    assert found == ([f"{text} write there: set fsGroup: 1000 [volume-ownership]"] if named else [])
    assert warnings_on("VMSingle", {"securityContext": context}, "volume-ownership") == []
    old = {**CLAIM, "port": "1", "securityContext": context}
    assert _updated("VMSingle", old, {**CLAIM, "securityContext": context}) == [], "the volume is not new"
    assert _updated("VMSingle", old, {**old, "retentionPeriod": "2"}) == [], "nor where the pod does not change"
