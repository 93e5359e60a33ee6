"""What whoever applies a resource is told of its pods, before there are any."""

import pytest

from tests.support.sample_pods import decide, owned_by, resource

STRICT_SIDECAR = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
RESTRICTED = {**STRICT_SIDECAR, "runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
CLAIM = {"storage": {"resources": {"requests": {"storage": "1Gi"}}}}
TOKEN = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}


def told(kind, spec, rule=None, **more):
    """The warnings on a resource at its creation, of one rule or of all."""
    decision = decide(resource(kind, spec=spec), [], webhook="validate", minor=37, **more)
    assert decision.allowed, decision.message
    return [each for each in decision.warnings if rule is None or each.endswith(f"[{rule}]")]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VMAgent", {}),
        ("VMAgent", {"statefulMode": True, "statefulStorage": CLAIM["storage"]}),
        ("VMSingle", CLAIM),
        ("VMAlert", {}),
        ("VMAlertmanager", {"storage": {"volumeClaimTemplate": {}}}),
        ("VMAuth", {}),
        ("VLogs", CLAIM),
        ("VLSingle", CLAIM),
        ("VLAgent", {}),
        ("VTSingle", {}),
        ("VMAnomaly", {}),
        ("VMCluster", {"vmselect": {}, "vmstorage": {}, "vminsert": {}, "requestsLoadBalancer": {"enabled": True}}),
        ("VLCluster", {"vlselect": {}, "vlstorage": {}, "vlinsert": {}}),
        ("VTCluster", {"select": {}, "storage": {}, "insert": {}}),
        ("VMDistributed", {"vmauth": {"spec": {}}, "zones": [{"name": "a", "vmcluster": {"spec": {"vmselect": {}}}}]}),
        ("VLDistributed", {"zones": [{"name": "a", "vlcluster": {"spec": {"vlselect": {}}}}]}),
    ],
)
def test_a_plain_strict_resource_of_any_kind_has_nothing_to_tell(kind, spec):
    assert told(kind, spec) == []


def test_the_collector_reads_its_nodes_files_which_no_level_but_privileged_allows():
    (warning,) = told("VLAgent", {"k8sCollector": {"enabled": True}})
    assert warning.startswith(
        'vlagent: Pod Security level privileged; not restricted: restricted volume types (volumes "'
    )


def test_a_collector_reads_its_nodes_files_wherever_its_own_data_are():
    (level,) = told("VLAgent", {"k8sCollector": {"enabled": True}, "tmpDataPath": "/x"}, "pod-security")
    assert level.startswith(
        'vlagent: Pod Security level privileged; not restricted: restricted volume types (volumes "'
    )


def test_a_backup_container_writes_where_the_data_are():
    backup = {"vmBackup": {"restore": {"onStart": {"enabled": True}}}}
    assert told("VMSingle", {**CLAIM, **backup}) == []
    assert told("VMCluster", {"vmstorage": {**CLAIM, **backup, "storageDataPath": "/x"}}) == []
    lines = told("VMSingle", {**backup, "storageDataPath": "/x"}, "read-only-root")
    assert [line.partition(" writes to /x (storageDataPath)")[0] for line in lines] == [
        "vmsingle: container 'vmsingle'",
        "vmsingle: container 'vmbackuper'",
    ]


def test_a_backup_containers_own_arguments_and_mounts_count():
    backup = {"extraArgs": {"storageDataPath": "/y"}}
    spec = {"vmBackup": backup, "volumes": [{"name": "v", "emptyDir": {}}]}
    (warning,) = told("VMSingle", spec, "read-only-root")
    assert warning.startswith("vmsingle: container 'vmbackuper' writes to /y (storageDataPath)")
    backup["volumeMounts"] = [{"name": "v", "mountPath": "/y"}]
    assert told("VMSingle", spec, "read-only-root") == []


def test_what_is_not_restricted_is_told_with_the_levels_and_the_first_reasons():
    (warning,) = told("VMSingle", {"securityContext": {}}, "pod-security")
    assert warning.startswith(
        "vmsingle: Pod Security level baseline; not restricted: allowPrivilegeEscalation != false ("
    )
    assert warning.endswith("); and 3 more [pod-security]")
    (warning,) = told("VMSingle", {"securityContext": {"privileged": True}}, "pod-security")
    assert warning.startswith("vmsingle: Pod Security level privileged; not restricted: privileged (")


@pytest.mark.parametrize(
    ("spec", "before", "after"),
    [
        ({}, "baseline", "restricted"),
        ({"useStrictSecurity": True}, "restricted", "restricted"),
        ({"securityContext": {"privileged": True}}, "privileged", "privileged"),
        ({"securityContext": RESTRICTED}, "restricted", "restricted"),
        ({"securityContext": {}}, "baseline", "baseline"),
        ({"useStrictSecurity": False}, "baseline", "baseline"),
        ({"useStrictSecurity": True, "containers": [{"name": "vmsingle", "securityContext": {"runAsNonRoot": False}}]},)
        + ("baseline",) * 2,
    ],
)
def test_the_level_before_is_that_of_the_pod_as_the_operator_alone_makes_it(spec, before, after):
    (levels,) = decide(resource("VMSingle", spec=spec), [], webhook="validate", minor=37).predicted_levels
    assert (str(levels.before.level), str(levels.after.level)) == (before, after)


@pytest.mark.parametrize("probe", ["livenessProbe", "readinessProbe", "startupProbe"])
@pytest.mark.parametrize(("kind", "path"), [("VMSingle", ()), ("VMCluster", ("vmselect",)), ("VLAgent", ())])
def test_a_probe_of_the_resource_counts_in_the_level_of_its_pods(kind, path, probe):
    spec = {probe: {"httpGet": {"host": "192.0.2.1", "path": "/", "port": 80}}}
    for field in path:
        spec = {field: spec}
    (warning,) = told(kind, spec, "pod-security")
    assert "Pod Security level privileged; not restricted: probe or lifecycle host" in warning


def test_the_same_pods_of_many_zones_are_told_of_once():
    zones = [{"name": str(index), "vmsingle": {"spec": {"hostNetwork": True}}} for index in range(15)]
    (warning,) = told("VMDistributed", {"zones": zones})
    assert warning.startswith(
        "zones[0].vmsingle, zones[1].vmsingle, zones[2].vmsingle, zones[3].vmsingle and 11 more: Pod Security level"
        " privileged; not restricted: host names"
    )


def test_more_different_pods_than_one_request_may_cost_are_counted():
    zones = [
        {"name": str(i), **{child: {"spec": {"extraArgs": {"x": str(i)}}} for child in ("vmsingle", "vmagent")}}
        for i in range(20)
    ]
    assert told("VMDistributed", {"zones": zones}) == []
    assert told("VMDistributed", {"zones": zones, "vmauth": {"spec": {"extraArgs": {"x": "1"}}}}) == [
        "more than 40 different pods or 400 containers: 1 of its workloads are not judged here [workload]"
    ]


def test_a_resource_of_any_size_costs_no_more_than_others_may_wait_for_and_says_what_is_left_out():
    side = [{"name": str(index)} for index in range(500)]
    assert told("VMSingle", {"containers": side}) == [
        "more than 40 different pods or 400 containers: 1 of its workloads are not judged here [workload]"
    ]
    large = {"volumes": [{"name": str(index), "hostPath": {}} for index in range(20000)]}
    assert told("VMSingle", large) == [
        "VMSingle mon/db is larger than 512 KiB: it is judged by its settings alone, not by its pods [workload]"
    ]


def test_what_zone_and_common_say_is_one_pod():
    common = {
        "vmsingle": {"spec": {"extraArgs": {"storageDataPath": "/x"}, "volumes": [{"name": "v", "emptyDir": {}}]}}
    }
    zone = {"name": "a", "vmsingle": {"spec": {"extraArgs": {"other": "1"}}}}
    assert len(told("VMDistributed", {"zones": [zone], "zoneCommon": common}, "read-only-root")) == 1
    zone["vmsingle"]["spec"]["volumeMounts"] = [{"name": "v", "mountPath": "/x"}]
    assert told("VMDistributed", {"zones": [zone], "zoneCommon": common}, "read-only-root") == []


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
def test_a_path_to_write_that_is_on_no_volume_is_told_where_the_root_is_read_only(kind, spec, path):
    (warning,) = told(kind, spec, "read-only-root")
    assert f"writes to {path}, its root filesystem is read-only and no writable volume" in warning
    root = spec.get("vmselect", spec)
    root["securityContext"] = {}
    assert told(kind, spec, "read-only-root") == []


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
    ],
)
def test_a_path_is_held_by_a_volume_that_can_be_written(volume, mount, count):
    spec = {"extraArgs": {"storageDataPath": "/x/y"}, "volumes": [{"name": "v", **volume}]}
    spec["volumeMounts"] = [{"name": "v", **mount}]
    assert len(told("VMSingle", spec, "read-only-root")) == count


@pytest.mark.parametrize(
    ("spec", "moved"),
    [
        ({"vmstorage": {"storageDataPath": "/x"}}, "VMCluster"),
        ({"vmselect": {"cacheMountPath": "/x"}}, "VMCluster"),
        ({"storageDataPath": "/x", "volumes": [{"name": "data", "emptyDir": {}}]}, "VMSingle"),
    ],
)
def test_the_operators_own_volume_goes_with_the_path_that_the_resource_has_a_field_for(spec, moved):
    assert told(moved, spec) == []


@pytest.mark.parametrize(("source", "shown"), [({"hostPath": {"path": "/x"}}, "hostPath"), ({"nfs": {}}, "NFS")])
def test_a_volume_that_ignores_fs_group_is_told_where_somebody_else_than_root_may_write_to_it(source, shown):
    spec = {"volumes": [{"name": "v", **source}], "volumeMounts": [{"name": "v", "mountPath": "/x"}]}
    (warning,) = told("VMSingle", spec, "volume-ownership")
    assert warning.startswith(
        f"vmsingle: volume 'v' is {shown}, which ignores fsGroup: container 'vmsingle' is not root"
    )
    spec["volumeMounts"][0]["readOnly"] = True
    assert told("VMSingle", spec, "volume-ownership") == []
    del spec["volumeMounts"]
    assert told("VMSingle", spec, "volume-ownership") == []


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ({"useStrictSecurity": False}, {"useStrictSecurity": True}, 1),
        ({"useStrictSecurity": False}, {}, 1),
        ({"securityContext": {}}, {}, 1),
        ({}, {}, 0),
        ({"useStrictSecurity": True}, {"useStrictSecurity": False}, 0),
        ({"useStrictSecurity": False}, {"securityContext": {"runAsUser": 1}}, 0),
    ],
)
def test_strict_that_is_turned_on_over_data_of_another_user_is_told(before, after, count):
    def update(spec):
        old = resource("VMSingle", spec={**spec, **before})
        return told("VMSingle", {**spec, **after}, "volume-ownership", operation="UPDATE", review={"oldObject": old})

    assert len(update(CLAIM)) == count
    assert update({}) == []


def test_a_sidecar_that_will_not_pass_restricted_is_told_unless_it_is_hardened_too():
    spec = {"containers": [{"name": "side"}], "initContainers": [{"name": "first", "securityContext": STRICT_SIDECAR}]}
    assert told("VMSingle", spec, "sidecar") == [
        "vmsingle: container 'side' is left as it is and does not pass Pod Security restricted: write its"
        " securityContext, or set VMGUARD_HARDEN_SIDECARS=true [sidecar]"
    ]
    assert told("VMSingle", spec, VMGUARD_HARDEN_SIDECARS="true") == []
    assert told("VMSingle", {**spec, "securityContext": {}}, "sidecar") == []
    spec["containers"] += [{"name": "two"}, {"name": "three"}, {"name": "four"}]
    (warning,) = told("VMSingle", spec, "sidecar")
    assert warning.startswith("vmsingle: each of the containers 'side', 'two', 'three' and 1 more is left as it is")


def test_an_empty_list_in_a_sidecars_context_is_silence():
    """The operator and the API server drop it before anybody sees the pod."""
    spec = {"containers": [{"name": "side", "securityContext": {"capabilities": {"drop": [], "add": None}}}]}
    (warning,) = told("VMSingle", spec, "sidecar")
    assert "set VMGUARD_HARDEN_SIDECARS=true" in warning
    assert told("VMSingle", spec, VMGUARD_HARDEN_SIDECARS="true") == []


@pytest.mark.parametrize(
    "weak",
    [
        {"securityContext": {"privileged": True}},
        {"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}},
        {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
        {"ports": [{"containerPort": 1, "hostPort": 1}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("harden", ["true", "false"])
def test_hardening_is_no_advice_where_it_does_not_help(weak, harden):
    spec = {"containers": [{"name": "side", **weak}]}
    (warning,) = told("VMSingle", spec, "sidecar", VMGUARD_HARDEN_SIDECARS=harden)
    assert warning.startswith("vmsingle: container 'side' is weaker than Pod Security restricted by its own word: ")
    assert "VMGUARD_HARDEN_SIDECARS" not in warning


ROOT = {"name": "side", "securityContext": {**STRICT_SIDECAR, "runAsUser": 0}}
MANY = {
    "containers": [{"name": f"side-{n}", "securityContext": {"runAsUser": 0}} for n in range(3)],
    "volumes": [{"name": "shared", "nfs": {"server": "s", "path": "/p"}}],
    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
}


@pytest.mark.parametrize(
    ("kind", "spec", "place"),
    [
        ("VMSingle", {"initContainers": [ROOT]}, "vmsingle: initContainers[side]"),
        ("VMCluster", {"vmselect": {"containers": [ROOT]}}, "vmselect: containers[side]"),
        (
            "VMDistributed",
            {"zones": [{"name": "a", "vmagent": {"spec": {"containers": [ROOT]}}}]},
            "zones[a].vmagent: zones[a].vmagent.spec.containers[side]",
        ),
        (
            "VMDistributed",
            {"zones": [{"name": "a"}], "zoneCommon": {"vmcluster": {"spec": {"vmselect": {"containers": [ROOT]}}}}},
            "zones[a].vmcluster.vmselect: zoneCommon.vmcluster.spec.vmselect.containers[side]",
        ),
    ],
)
def test_a_place_is_where_the_object_applied_has_it(kind, spec, place):
    (warning,) = told(kind, spec, "security-context")
    assert warning.startswith(f"{place}.securityContext.runAsUser is 0, wanted not 0: ")


def test_who_asks_and_who_differs_are_both_in_the_object_applied():
    patch = {"spec": {"containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 5}}]}}
    spec = {
        "zones": [{"name": "a", "vmsingle": patch}],
        "zoneCommon": {"vmsingle": {"spec": {"securityContext": {"runAsUser": 1000}}}},
    }
    assert told("VMDistributed", spec, "security-context") == [
        "zones[a].vmsingle: zones[a].vmsingle.spec.containers[vmsingle].securityContext.runAsUser is 5 and stays;"
        " VMDistributed mon/db spec.zoneCommon.vmsingle.spec.securityContext sets it to 1000 [security-context]"
    ]


def test_what_is_missing_is_told_of_the_container_and_not_of_a_context_that_has_it():
    spec = {
        "securityContext": {"runAsUser": 0},
        "containers": [{"name": "side", "securityContext": {"runAsNonRoot": True}}],
    }
    (warning,) = told("VMSingle", spec, "security-context")
    assert warning.startswith(
        "vmsingle: securityContext.runAsUser of the pod is null, wanted 0: runAsNonRoot of container 'side' is true"
    )
    spec = {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]}
    there, missing = told("VMSingle", spec, "security-context")
    assert there.startswith("vmsingle: containers[vmsingle].securityContext.privileged is true, wanted false: ")
    assert missing.startswith("vmsingle: securityContext.allowPrivilegeEscalation of container 'vmsingle' is null, ")


def test_a_pod_is_named_once_for_what_several_of_its_containers_have():
    common = {"vmagent": {"spec": {"securityContext": {"runAsUser": 0}}}}
    zones = [
        {"name": name, "vmagent": {"spec": {"containers": [{"name": "vmagent", "securityContext": {}}]}}}
        for name in "ab"
    ]
    for line in told("VMDistributed", {"zoneCommon": common, "zones": zones}):
        assert line.startswith("zones[a].vmagent, zones[b].vmagent: ")


def test_what_is_alike_in_several_components_is_told_once():
    parts = {"vmselect": MANY, "vminsert": MANY, "vmstorage": MANY}
    lines = told("VMCluster", parts)
    assert {line.partition(": ")[0] for line in lines} == {"vmstorage, vmselect, vminsert"}
    assert [line.rpartition(" ")[2] for line in lines] == [
        *["[security-context]"] * 3,
        "[pod-security]",
        "[sidecar]",
        "[volume-ownership]",
    ]
    assert "container '<component>' is not root" in lines[-1]


def test_as_much_is_told_as_an_api_server_passes_on_whole():
    spec = {"containers": [{"name": f"{'x' * 200}-{n}", "securityContext": {"runAsUser": 0}} for n in range(40)]}
    lines = told("VMSingle", spec)
    assert max(map(len, lines)) == 256
    assert sum(map(len, lines)) <= 4096
    assert all(line.endswith("]") for line in lines)
    assert lines[-1] == f"and {42 - len(lines) + 1} warnings more [workload]"


def test_a_sidecar_that_runs_as_root_under_a_pod_that_may_not_is_told():
    spec = {"containers": [{"name": "side", "securityContext": {**STRICT_SIDECAR, "runAsUser": 0}}]}
    (warning,) = told("VMSingle", spec, "security-context")
    assert "runAsNonRoot of the pod is true, so the kubelet will not start container 'side'" in warning


@pytest.mark.parametrize(
    ("container", "sign"),
    [
        ({"image": "quay.io/kiwigrid/k8s-sidecar:1.2"}, "image k8s-sidecar"),
        ({"image": "kubectl@sha256:0"}, "image kubectl"),
        ({"command": ["sh", "-c", "/bin/kubectl get pods"]}, "it runs kubectl"),
        ({"args": ["--server=https://kubernetes.default.svc"]}, "its command names kubernetes.default"),
        ({"args": ["/etc/kubectl.conf.d"]}, ""),
        ({"image": "busybox"}, ""),
    ],
)
def test_a_sidecar_that_clearly_calls_the_api_is_told_when_it_gets_no_token(container, sign):
    side = {"name": "side", "securityContext": STRICT_SIDECAR, **container}
    spec = {"disableAutomountServiceAccountToken": True, "containers": [side]}
    warnings = told("VMSingle", spec)
    assert len(warnings) == bool(sign)
    assert not sign or f"container 'side' calls the Kubernetes API ({sign}) and gets no token with" in warnings[0]
    assert told("VMSingle", {"containers": [side]}) == []
    side["volumeMounts"] = [{"name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]
    assert told("VMSingle", {**spec, "volumes": [TOKEN]}) == []


def test_what_cannot_be_read_is_told_and_never_guessed():
    assert told("VMSingle", {"containers": [{"name": "side", "args": "x"}]}) == [
        "vmsingle: what it says of its pods cannot be read: Expected `array | null`, got `str` -"
        " at `$.spec.containers[1].args` [workload]"
    ]


def test_the_child_of_a_parent_is_judged_by_what_its_own_spec_makes():
    parent = resource("VMDistributed", "d", {"zones": [{"name": "a"}]})
    child = resource("VMSingle", "d-a", {"useStrictSecurity": False, "extraArgs": {"storageDataPath": "/x"}})
    child["metadata"]["ownerReferences"] = owned_by(parent)
    decision = decide(child, [parent], webhook="validate")
    assert any(each.endswith("[read-only-root]") for each in decision.warnings)
