"""A field that only predictions read is a warning if it has a wrong type, and never denies."""

import pytest

from tests.support.golden import CASES
from tests.support.preview_warnings import warnings_on
from webhook.facts import Ref
from webhook.policy.components import COMPONENTS
from webhook.policy.custom_resources import GROUP
from webhook.policy.preview.predicted_types import wrongly_predicted

REFUSED = "so the API server or the operator refuses it"
QUOTES = f"is an integer but must be a string, {REFUSED}: write it in quotes [workload]"
NO_QUOTES = f"is a string but must be a boolean, {REFUSED}: write true or false without quotes [workload]"
NO_OBJECT = f"is a string but must be an object, {REFUSED} [workload]"
QUOTED = f"but must be a string, {REFUSED}: write it in quotes [workload]"
NO_INTEGER = f"is an integer but must be an object, {REFUSED} [workload]"
OF_COMMAND = f"spec.initContainers[a].command is a string but must be an array, {REFUSED} [workload]"
PORT = "spec.containers[a].ports[0]"
CLAIMED = "spec.volumes[d].persistentVolumeClaim"
BACKENDS = "VMCluster or VMSingle"


@pytest.mark.parametrize(
    ("kind", "spec", "warning"),
    [
        ("VMAuth", {"port": 8427}, f"spec.port {QUOTES}"),
        ("VMSingle", {"insertPorts": {"graphitePort": 2003}}, f"spec.insertPorts.graphitePort {QUOTES}"),
        ("VMSingle", {"hostNetwork": "true"}, f"spec.hostNetwork {NO_QUOTES}"),
        ("VMAgent", {"statefulMode": "yes"}, f"spec.statefulMode {NO_QUOTES}"),
        ("VLAgent", {"k8sCollector": {"enabled": "true"}}, f"spec.k8sCollector.enabled {NO_QUOTES}"),
        ("VLAgent", {"k8sCollector": "on"}, f"spec.k8sCollector {NO_OBJECT}"),
        ("VMSingle", {"vmBackup": {"acceptEULA": "true"}}, f"spec.vmBackup.acceptEULA {NO_QUOTES}"),
        ("VMSingle", {"image": "victoriametrics/vmsingle:v1"}, f"spec.image {NO_OBJECT}"),
        ("VMSingle", {"storage": "10Gi"}, f"spec.storage {NO_OBJECT}"),
        ("VMSingle", {"storageDataPath": 5}, f"spec.storageDataPath {QUOTES}"),
        ("VMCluster", {"vmselect": {"cacheMountPath": 5}}, f"spec.vmselect.cacheMountPath {QUOTES}"),
        (
            "VMSingle",
            {"podMetadata": {"annotations": {"a": 5}}},
            f"spec.podMetadata.annotations[a] {QUOTES}",
        ),
        ("VMAgent", {"podMetadata": {"labels": {"on": True}}}, f"spec.podMetadata.labels[on] is a boolean {QUOTED}"),
        ("VMAgent", {"extraArgs": {"memory.allowedPercent": 60}}, f"spec.extraArgs[memory.allowedPercent] {QUOTES}"),
        (
            "VMCluster",
            {"vmstorage": {"vmBackup": {"extraArgs": {"loggerLevel": True}}}},
            f"spec.vmstorage.vmBackup.extraArgs[loggerLevel] is a boolean {QUOTED}",
        ),
        ("VMSingle", {"initContainers": [{"name": "a", "image": "i", "command": "ls"}]}, OF_COMMAND),
        ("VMSingle", {"containers": [{"name": "a", "image": "i", "ports": [80]}]}, f"{PORT} {NO_INTEGER}"),
        ("VMSingle", {"volumes": [{"name": "d", "persistentVolumeClaim": "c"}]}, f"{CLAIMED} {NO_OBJECT}"),
        (
            "VMSingle",
            {"extraEnvs": {"A": "b"}},
            f"spec.extraEnvs is an object but must be an array, {REFUSED} [workload]",
        ),
        (
            "VMSingle",
            {"extraEnvs": [{"name": "DEBUG", "value": True}]},
            f"spec.extraEnvs[DEBUG].value is a boolean {QUOTED}",
        ),
        (
            "VMAuth",
            {"containers": [{"name": "a", "image": "i", "env": [{"name": "N", "value": 5}]}]},
            f"spec.containers[a].env[N].value {QUOTES}",
        ),
        ("VMSingle", {"license": "x"}, f"spec.license {NO_OBJECT}"),
        (
            "VLSingle",
            {"syslogSpec": {"tcpListeners": {"listenPort": 514}}},
            f"spec.syslogSpec.tcpListeners is an object but must be an array, {REFUSED} [workload]",
        ),
        ("VMDistributed", {"backendType": ""}, f"spec.backendType is '' but must be {BACKENDS}, {REFUSED} [workload]"),
        (
            "VMDistributed",
            {"zoneCommon": {"vmcluster": {"spec": {"vmselect": {"port": 5}}}}, "zones": [{"name": "a"}, {"name": "b"}]},
            f"spec.zoneCommon.vmcluster.spec.vmselect.port {QUOTES}",
        ),
        ("VMDistributed", {"vmauth": {"enabled": "false"}}, f"spec.vmauth.enabled {NO_QUOTES}"),
        (
            "VLDistributed",
            {"backendType": "vlsingle"},
            f"spec.backendType is 'vlsingle' but must be VLCluster or VLSingle, {REFUSED} [workload]",
        ),
    ],
    ids=str,
)
def test_a_wrong_type_is_a_warning_that_names_the_field(kind, spec, warning):
    assert warnings_on(kind, spec, "workload") == [warning]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda each: each.name)
def test_every_component_names_the_type_of_its_port(component):
    part = {"port": 5}
    for field in reversed(component.path[1:]):
        part = {field: part}
    found = list(wrongly_predicted(Ref(GROUP, "", component.kind, "mon", "x"), part, 1))
    assert found == [f"{'.'.join((*component.path, 'port'))} {QUOTES.removesuffix(' [workload]')}"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_no_recorded_resource_has_a_wrong_type(case):
    for thing in case.objects:
        spec, metadata = thing.get("spec"), thing.get("metadata", {})
        if isinstance(spec, dict):
            ref = Ref(GROUP, "", thing.get("kind", ""), metadata.get("namespace", ""), metadata.get("name", ""))
            assert list(wrongly_predicted(ref, spec, 20)) == []
