"""A command of a fix changes nothing but what the fix says, and nothing at all once the resource is another one."""

import json
import shlex
from typing import Any

import jsonpatch
import pytest

from tests.support.applied_commands import commanded
from webhook.audit.fix_commands import patch_command
from webhook.audit.trimmed import trimmed
from webhook.policy.placed_fix import EditedResource, PlacedFix

TARGET = EditedResource("VMAgent", "mon", "db")
SECRET = {"name": "TOKEN", "value": "canary"}


def _resource(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "db", "namespace": "mon"}
    return {"apiVersion": "operator.victoriametrics.com/v1beta1", "kind": "VMAgent", "metadata": metadata, "spec": spec}


def _command(resource: dict[str, Any], fields: dict[str, Any]) -> str:
    return patch_command(PlacedFix(TARGET, (), {"spec": fields}), lambda _: trimmed(resource))


def test_maps_alone_are_a_merge_patch_that_needs_no_knowledge_of_the_resource():
    fields = {"securityContext": {"runAsUser": 1, "capabilities": {"drop": ["ALL"]}}, "port": None}
    command = patch_command(PlacedFix(TARGET, (), {"spec": fields}), lambda _: None)
    assert command.startswith("kubectl -n mon patch vmagents.operator.victoriametrics.com db --type merge -p '{")
    assert json.loads(shlex.split(command)[-1]) == {"spec": fields}


def test_a_list_is_changed_at_its_elements_and_keeps_all_that_an_audit_does_not_read():
    side = {"name": "side", "image": "x", "env": [SECRET], "args": ["-password=canary"]}
    resource = _resource(containers=[{"name": "first", "env": [SECRET]}, side], volumes=[{"name": "v", "secret": {}}])
    fields = {
        "containers": [{"name": "side", "securityContext": {"privileged": False}}],
        "volumes": [{"name": "w", "emptyDir": {}}],
        "volumeMounts": [{"name": "w", "mountPath": "/x"}],
    }
    command = _command(resource, fields)
    assert "canary" not in command
    assert commanded(resource, command)["spec"] == {
        "containers": [{"name": "first", "env": [SECRET]}, {**side, "securityContext": {"privileged": False}}],
        "volumes": [{"name": "w", "emptyDir": {}}, {"name": "v", "secret": {}}],
        "volumeMounts": [{"name": "w", "mountPath": "/x"}],
    }


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"containers": [{"name": "new"}, {"name": "side"}], "volumes": []},
        {"containers": [{"name": "side", "securityContext": {"runAsUser": 0}}], "volumes": []},
        {"containers": [{"name": "side"}], "volumes": [], "volumeMounts": [{"name": "v", "mountPath": "/y"}]},
    ],
    ids=["another container at its place", "a context of its own", "mounts"],
)
def test_a_command_that_comes_too_late_is_refused(meanwhile):
    """It would overwrite what someone wrote after the audit, or change another container."""
    mounts = {"volumes": [{"name": "w", "emptyDir": {}}], "volumeMounts": [{"name": "w", "mountPath": "/x"}]}
    fields = {"containers": [{"name": "side", "securityContext": {"privileged": False}}], **mounts}
    command = _command(_resource(containers=[{"name": "side"}], volumes=[]), fields)
    assert commanded(_resource(containers=[{"name": "side"}], volumes=[]), command)
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        commanded(_resource(**meanwhile), command)


@pytest.mark.parametrize("there", [[], [{"name": "v"}], [{"name": "v"}, {"emptyDir": {}}]], ids=["0", "1", "unnamed"])
def test_a_second_run_of_a_command_that_adds_elements_is_refused(there):
    fields = {"volumes": [{"name": "w", "emptyDir": {}}, {"name": "x", "emptyDir": {}}]}
    resource = _resource(volumes=there)
    command = _command(resource, fields)
    once = commanded(resource, command)
    assert sorted(each.get("name", "") for each in once["spec"]["volumes"]) == sorted(
        ["w", "x", *(each.get("name", "") for each in there)]
    )
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        commanded(once, command)


def test_annotations_and_ports_of_a_service_that_an_audit_does_not_read_stay():
    service = {"metadata": {"name": "x"}, "spec": {"type": "NodePort", "ports": [{"name": "own", "port": 1}]}}
    resource = _resource(
        podMetadata={"labels": {"a": "b"}}, serviceSpec=service, volumes=[{"name": "v"}], extraArgs={"a": "canary"}
    )
    fields = {
        "podMetadata": {"annotations": {"vault.hashicorp.com/x~y": "v"}},
        "serviceSpec": {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}},
        "extraArgs": {"httpListenAddr": ":8080"},
        "port": "8080",
    }
    spec = commanded(resource, _command(resource, fields))["spec"]
    assert spec["podMetadata"] == {"labels": {"a": "b"}, "annotations": {"vault.hashicorp.com/x~y": "v"}}
    assert spec["serviceSpec"]["spec"]["type"] == "NodePort"
    assert [each["name"] for each in spec["serviceSpec"]["spec"]["ports"]] == ["http", "own"]
    assert spec["extraArgs"] == {"a": "canary", "httpListenAddr": ":8080"}


def test_without_the_resource_there_is_no_command_for_a_list():
    fix = PlacedFix(TARGET, (), {"spec": {"volumes": [{"name": "w"}]}})
    assert patch_command(fix, lambda _: None) == ""


def test_a_kind_that_no_table_has_gets_no_command():
    assert patch_command(PlacedFix(EditedResource("VMFoo", "mon", "x"), (), {"spec": {"a": 1}}), lambda _: None) == ""
    assert patch_command(None, lambda _: None) == ""
