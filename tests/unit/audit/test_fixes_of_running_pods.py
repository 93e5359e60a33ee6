"""An audit gives a fix with each finding of a rule on a running pod, and it holds once the pod is made again."""

import json
import shlex
from typing import Any

import pytest
import yaml

from tests.support.applied_commands import commanded
from tests.support.applied_fixes import applied, pasted
from tests.support.audited_pods import audited, pods_of
from tests.support.flawed_resources import FLAWED
from tests.support.sample_pods import pod, resource, vmsingle, workload
from webhook.audit.report import ReportedFinding
from webhook.policy.components import PARENTS
from webhook.policy.rules import IDS
from webhook.settings import Settings

MAKING_PODS = {name: thing for name, thing in FLAWED.items() if thing["kind"] not in PARENTS}


def audited_with_pods(
    thing: dict[str, Any], settings: Settings | None = None
) -> dict[tuple[str, str, str], ReportedFinding]:
    """The findings of rules on the running pods of a resource, by component, rule and text."""
    metadata = {**thing["metadata"], "namespace": "mon", "uid": thing["metadata"].get("uid", "u")}
    thing = {**thing, "metadata": metadata}
    return {
        (each.component, finding.id, finding.text): finding
        for each in audited(thing, *pods_of(thing), settings=settings)
        for finding in each.findings
        if finding.id in IDS
    }


def fixed(thing: dict[str, Any], finding: ReportedFinding) -> list[dict[str, Any]]:
    """A resource with the fix of a finding: as YAML, and by the command."""
    in_mon = {**thing, "metadata": {**thing["metadata"], "namespace": "mon"}}
    by_yaml = [applied(thing, finding.fix)] if pasted(finding.fix) else []
    return [*by_yaml, *([commanded(in_mon, finding.command)] if finding.command else [])]


@pytest.mark.parametrize("name", MAKING_PODS)
def test_a_fix_in_the_resource_holds_for_the_pods_that_are_made_then(name):
    """The finding is not there any more, and no new one is worse."""
    thing = MAKING_PODS[name]
    for place, finding in audited_with_pods(thing).items():
        assert finding.fix, f"no fix for {finding.text}"
        assert finding.command or not pasted(finding.fix)
        for changed in fixed(thing, finding):
            assert place not in audited_with_pods(changed), finding


@pytest.mark.parametrize("name", MAKING_PODS)
def test_one_fix_makes_a_denial_go_away_whatever_its_violations(name):
    """The finding of a denied pod has all that is wrong, and its fix corrects all of it."""
    thing, denying = MAKING_PODS[name], Settings.from_environment({"VMGUARD_ENFORCE": "deny"})
    found = audited_with_pods(thing, denying)
    for (component, rule, _), finding in found.items():
        for changed in fixed(thing, finding) if finding.verdict == "DENIED" else ():
            after = audited_with_pods(changed, denying)
            denied = [each for (of, _, _), each in after.items() if of == component and each.verdict == "DENIED"]
            assert not denied, f"{rule}: {finding.fix}"


@pytest.mark.parametrize(
    ("spec", "fix"),
    [
        ({"containers": [{"name": "vmsingle"}, {"name": "proxy"}]}, "kubectl get mutatingwebhookconfigurations\n"),
        ({"automountServiceAccountToken": True}, "kubectl get mutatingwebhookconfigurations\n"),
        ({"securityContext": {"runAsUser": 0}}, "kubectl get mutatingwebhookconfigurations\n"),
        ({"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]}, "webhookconfigurations\n"),
    ],
    ids=["an injected container", "a token", "a user", "a container's context"],
)
def test_what_no_field_of_the_resource_sets_has_a_command_that_finds_who_does(spec, fix):
    """No YAML is offered that would change nothing."""
    found, objects = vmsingle({"disableAutomountServiceAccountToken": True}, spec)
    (row,) = audited(found, *objects)
    findings = [each for each in row.findings if "inherits" not in each.text]
    assert findings
    assert all(each.fix.endswith(fix) for each in findings), findings


def test_a_container_that_needs_the_api_and_has_no_token_gets_one_by_a_field_of_the_resource():
    spec = {"containers": [{"name": "vmagent"}], "automountServiceAccountToken": False}
    found = audited(*_vmagent({}, spec))[0].findings
    (finding,) = [each for each in found if each.id == "api-access"]
    (row,) = audited(*_vmagent(pasted(finding.fix)["spec"], spec))
    assert "api-access" not in {each.id for each in row.findings}


def _vmagent(spec: dict[str, Any], pod_spec: dict[str, Any]) -> list[dict[str, Any]]:
    thing = resource("VMAgent", "db", spec)
    deployment = workload("Deployment", "vmagent-db", thing)
    replicas = workload("ReplicaSet", "vmagent-db-1", deployment)
    return [thing, deployment, replicas, pod(replicas, pod_spec)]


@pytest.mark.parametrize("labels", [{}, {"vmguard.io/enforce": "deny"}], ids=["", "enforced"])
def test_a_predicted_pod_of_one_component_has_the_fix_of_its_own_findings(labels):
    """The warning at a resource names all components; the row of each has the findings and fixes of its own."""
    spec = {"vmselect": {"port": "80", "containers": [{"name": "vmselect", "securityContext": {"privileged": True}}]}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mon", "labels": labels}}
    rows = {each.component: each for each in audited(resource("VMCluster", spec={**spec, "vminsert": {}}), namespace)}
    fixes = [pasted(each.fix) for each in rows["vmselect"].findings]
    found = {field for fields in fixes for field in fields["spec"]["vmselect"]}
    assert found == {"containers", "port", "serviceSpec"}
    assert not rows["vminsert"].findings


def _inheriting(user: int | None, context: dict[str, Any], group: str, **spec: Any) -> dict[str, ReportedFinding]:
    """The findings on a pod with a container of the user's that runs as that user now, by their texts."""
    thing = resource("VMSingle", spec={group: [{"name": "own", "image": "x", "securityContext": context}], **spec})
    return _with_status(thing, user, group)


def _with_status(thing: dict[str, Any], user: int | None, group: str) -> dict[str, ReportedFinding]:
    *controllers, running = pods_of(thing)
    status = [{"name": "own", "user": {"linux": {"uid": user}}}] if user is not None else []
    field = f"{group.removesuffix('s').removesuffix('Container')}ContainerStatuses".replace("containerC", "c")
    (row,) = audited(thing, *controllers, {**running, "status": {field: status}})
    return {each.text: each for each in row.findings}


HARD = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize("group", ["containers", "initContainers"])
@pytest.mark.parametrize("context", [{}, HARD, {"privileged": True}, {"capabilities": {"add": ["CHOWN"]}}], ids=str)
@pytest.mark.parametrize("custom", [False, True])
def test_a_container_that_keeps_its_user_by_its_fix_has_no_other_finding(group, context, custom):
    """One fix ends the finding, and all of its container that the user does not change."""
    more = {"securityContext": {"runAsUser": 65534, "runAsNonRoot": True}} if custom else {}
    thing = resource("VMSingle", spec={group: [{"name": "own", "image": "x", "securityContext": context}], **more})
    before = _with_status(thing, 1000, group)
    (finding,) = [each for each in before.values() if "inherits" in each.text]
    for changed in fixed(thing, finding):
        (own,) = changed["spec"][group]
        assert own["securityContext"]["runAsUser"] == 1000
        assert not [text for text in _with_status(changed, 1000, group) if "'own'" in text]


def test_a_container_that_must_stay_root_is_said_to_be_refused_by_restricted():
    """Nothing else is taken from it, as root may need all of it."""
    (finding,) = [each for each in _inheriting(0, {}, "containers").values() if "inherits" in each.text]
    assert pasted(finding.fix)["spec"]["containers"] == [
        {"name": "own", "securityContext": {"runAsUser": 0, "runAsNonRoot": False}}
    ]
    assert 'enforces "restricted" refuses a pod with this container' in finding.fix


def test_for_a_user_that_is_not_known_the_fix_has_a_command_and_the_yaml_to_complete():
    (finding,) = [each for each in _inheriting(None, {}, "containers").values() if "inherits" in each.text]
    look, *lines = finding.fix.splitlines()
    assert look.endswith(" -c own -- id -u")
    assert not finding.command
    assert all(line.startswith("# ") for line in lines)
    completed = "\n".join(line.removeprefix("# ") for line in lines[2:]).replace("<the user that this prints>", "7")
    (own,) = yaml.safe_load(completed)["spec"]["containers"]
    assert (own["name"], str(own["securityContext"]["runAsUser"])) == ("own", "7")


@pytest.mark.parametrize(
    "name", ["a\nspec: {}", "'; rm -rf / #", "$(id)", "# c", "- x: y", "{}", "\u202e", "x" * 500, "64", "true"]
)
def test_a_hostile_name_stays_a_name_in_a_fix(name):
    """Names in files may have any characters; none ends a value, a comment or a word of a command."""
    token = {"name": "kube-api-access", "emptyDir": {}}
    spec = {
        "disableAutomountServiceAccountToken": True,
        "containers": [
            {"name": name, "image": "side", "volumeMounts": [{"name": "kube-api-access", "mountPath": "/x"}]}
        ],
        "volumes": [token],
        "podMetadata": {"annotations": {"vault.hashicorp.com/agent-inject": "true"}},
    }
    thing = resource("VMAgent", name, {"remoteWrite": [{"url": "x"}], **spec})
    findings = [finding for row in audited(thing) for finding in row.findings if finding.id in IDS]
    fixes = [pasted(finding.fix) for finding in findings]
    found = [fields["spec"]["containers"] for fields in fixes if "containers" in fields.get("spec", {})]
    assert [[each["name"] for each in containers] for containers in found] == [[name]]
    commands = [shlex.split(finding.command) for finding in findings]
    assert {(*words[:5], *words[6:9]) for words in commands} == {
        ("kubectl", "-n", "mon", "patch", "vmagents.operator.victoriametrics.com", "--type", "json", "-p")
    }
    tests = [each for words in commands for each in json.loads(words[9]) if each["path"] == "/spec/containers/0/name"]
    assert tests == [{"op": "test", "path": "/spec/containers/0/name", "value": name}]
    renames = [each for words in commands for each in json.loads(words[9]) if each["op"] == "replace"]
    assert renames == [
        {"op": "replace", "path": "/spec/volumes/0/name", "value": "own-kube-api-access"},
        {"op": "replace", "path": "/spec/containers/0/volumeMounts/0/name", "value": "own-kube-api-access"},
    ]


def test_the_fix_for_a_pod_of_a_child_is_for_its_parent():
    """The operator overwrites the child, so a field that is set there would be lost."""
    side = {"containers": [{"name": "side", "image": "side", "securityContext": {"privileged": True}}]}
    zone = {"name": "a.b", "vmcluster": {"spec": {"vmselect": {"extraArgs": {"cacheDataPath": "/x"}}}}}
    common = {"vmcluster": {"name": "%ZONE%", "spec": {"vmselect": side}}}
    parent = resource("VMDistributed", spec={"zones": [zone], "zoneCommon": common})
    spec = {"vmselect": {**zone["vmcluster"]["spec"]["vmselect"], **side}}
    child = resource("VMCluster", "a.b", spec, owner=parent)
    found = {each.id: pasted(each.fix) for row in audited(parent, child, *pods_of(child)) for each in row.findings}
    fields = found["read-only-root"]
    (place,) = fields["spec"]["zones"]
    assert (place["name"], [*place["vmcluster"]["spec"]["vmselect"]]) == ("a.b", ["volumes", "volumeMounts"])
    fields = found["sidecar"]
    assert [*fields["spec"]] == ["zoneCommon"], (
        "the zone lists no containers, and a list of its own would hide this one"
    )
    assert [*fields["spec"]["zoneCommon"]["vmcluster"]["spec"]["vmselect"]] == ["containers"]


def test_a_zone_without_a_name_is_not_given_one():
    """A comment says that the number is an index."""
    zone = {"vmcluster": {"name": "x", "spec": {"vmselect": {"extraArgs": {"cacheDataPath": "/x"}}}}}
    parent = resource("VMDistributed", spec={"zones": [zone]})
    child = resource("VMCluster", "x", zone["vmcluster"]["spec"], owner=parent)
    (finding,) = [each for row in audited(parent, child) for each in row.findings if each.id == "read-only-root"]
    assert "# A zone without a name has its index here" in finding.fix
    assert not finding.command, "a command could not test that it is the same zone"
