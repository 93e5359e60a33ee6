"""What an audit keeps of an object is all that decisions read of it, and nothing that a tenant hides there."""

import copy
import json

import msgspec
import pytest

from tests.support.flawed_resources import FLAWED
from tests.support.golden import CASES
from tests.support.sample_pods import decide
from webhook.admission.admission_review import decode, review_of
from webhook.admit import admit
from webhook.audit.trimmed import trimmed, trimmed_pod
from webhook.driver import drive
from webhook.offline.file_facts import FileFacts
from webhook.podsecurity import evaluate
from webhook.policy.rules.api_users import signs
from webhook.policy.rules.owner_changers import tool_of
from webhook.policy.token_volume import TOKEN_PATH
from webhook.settings import Settings

PODS = [case for case in CASES if case.request["kind"]["kind"] == "Pod"]
CANARY = "canary-7f3a"


def _decision(pod, objects, settings, minor=37):
    namespace = pod["metadata"].get("namespace") or "default"
    review = decode(review_of(pod, uid="u", namespace=namespace, name=pod["metadata"].get("name") or ""))
    facts = FileFacts(objects, minor)
    return drive(admit(review, "mutate", settings, minor=minor), facts)[0]


def _pod(case):
    return {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(case.request["object"])}


@pytest.mark.parametrize("case", PODS, ids=lambda case: case.path.name)
def test_the_decision_on_a_trimmed_pod_is_that_on_the_whole(case):
    settings = Settings.from_environment(case.settings)
    pod, objects = _pod(case), case.objects
    whole = _decision(pod, objects, settings)
    part = _decision(trimmed_pod(pod), [trimmed(each) for each in objects], settings)
    assert (part.outcome, part.patch, part.findings) == (whole.outcome, whole.patch, whole.findings)
    assert part.message == whole.message


@pytest.mark.parametrize("case", PODS, ids=lambda case: case.path.name)
def test_a_trimmed_pod_has_the_pod_security_level_of_the_whole(case):
    pod = _pod(case)
    assert evaluate(trimmed_pod(pod), 37) == evaluate(pod, 37)


def _resource(case):
    return next((each for each in case.objects if each["kind"] == case.kind), None)


@pytest.mark.parametrize("case", [case for case in PODS if _resource(case)], ids=lambda case: case.path.name)
def test_the_preview_of_a_trimmed_resource_is_that_of_the_whole(case):
    resource = _resource(case)
    settings = Settings()
    decisions = []
    for each in (resource, trimmed(resource)):
        review = decode(review_of(each, uid="u", namespace="n", name=each["metadata"]["name"]))
        objects = [other for other in case.objects if other["kind"] != case.kind]
        decisions.append(drive(admit(review, "validate", settings, minor=37), FileFacts(objects, 37))[0])
    assert decisions[1] == decisions[0]


@pytest.mark.parametrize("name", FLAWED)
def test_findings_and_fixes_of_a_trimmed_resource_are_those_of_the_whole(name):
    """What a rule finds wrong, an audit of the same file finds too."""
    resource = FLAWED[name]
    whole, part = (decide(each, [], webhook="validate", minor=37) for each in (resource, trimmed(resource)))
    assert part.findings == whole.findings
    assert part == whole


def test_a_trimmed_pod_has_no_environment_argument_annotation_or_command():
    hidden = {
        "env": [{"name": "PASSWORD", "value": CANARY}],
        "envFrom": [{"secretRef": {"name": CANARY}}],
        "command": ["sh", "-c", f"kubectl get secret {CANARY}"],
        "args": [f"-remoteWrite.url=http://{CANARY}", CANARY],
        "livenessProbe": {"exec": {"command": [CANARY]}, "httpGet": {"host": "h", "path": f"/{CANARY}"}},
        "lifecycle": {"preStop": {"exec": {"command": [CANARY]}}},
        "resources": {"limits": {"cpu": CANARY}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "annotations": {"note": CANARY, CANARY: "x"}},
        "spec": {
            "containers": [{"name": "vmagent", **hidden}],
            "initContainers": [{"name": "init", **hidden}],
            "ephemeralContainers": [{"name": "debug", **hidden}],
            "volumes": [{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"secret": CANARY}}}],
            "imagePullSecrets": [{"name": CANARY}],
        },
        "status": {"message": CANARY},
    }
    found = trimmed(pod)
    assert CANARY not in json.dumps(found)
    assert found["spec"]["containers"][0]["args"] == ["kubectl"]
    assert found["spec"]["containers"][0]["livenessProbe"] == {"httpGet": {"host": "h"}}


def test_a_trimmed_resource_has_no_environment_argument_or_credential():
    part = {
        "extraEnvs": [{"name": "x", "value": CANARY}],
        "extraArgs": {"remoteWrite.bearerToken": CANARY},
        "remoteWrite": [{"url": f"http://user:{CANARY}@host"}],
        "podMetadata": {"annotations": {"x": CANARY}, "labels": {"x": CANARY}},
        "containers": [{"name": "side", "env": [{"name": "x", "value": CANARY}], "args": [CANARY]}],
        "vmBackup": {"destination": "fs:///b", "extraEnvs": [{"value": CANARY}]},
    }
    for kind, spec in (("VMAgent", part), ("VMCluster", {"vmstorage": part}), ("VMDistributed", {"zones": [part]})):
        thing = {"apiVersion": "operator.victoriametrics.com/v1beta1", "kind": kind, "metadata": {"name": "x"}}
        assert CANARY not in msgspec.json.encode(trimmed({**thing, "spec": spec})).decode()


def test_a_specification_of_credentials_is_trimmed_from_pods_and_resources():
    context = {"windowsOptions": {"gmsaCredentialSpec": CANARY}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"securityContext": context, "containers": []}}
    single = {"apiVersion": "operator.victoriametrics.com/v1beta1", "kind": "VMSingle", "metadata": {}}
    for thing in (pod, {**single, "spec": {"securityContext": context}}):
        found = trimmed(thing)
        assert CANARY not in json.dumps(found)
        assert "gmsaCredentialSpec" in json.dumps(found)


@pytest.mark.parametrize("command", [["chown", "-R", "1:1", "/data"], ["sh", "-c", "chown 1 /data"]])
def test_a_container_with_a_token_that_changes_owners_does_not_become_a_client_of_the_api(command):
    token = {"name": "kube-api-access", "mountPath": TOKEN_PATH}
    container = trimmed_pod(
        {"spec": {"initContainers": [{"name": "own", "command": command, "volumeMounts": [token]}]}}
    )
    (own,) = container["spec"]["initContainers"]
    assert tool_of(own) == "chown"
    assert signs(own) == []
