"""`vmguard audit` while the API server's priority and fairness rejects its requests."""

import base64
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.controlplane.api import wait_for
from tests.controlplane.fixtures import needs
from tests.support.accounts import granted
from tests.support.command import vmguard

FLOW_CONTROL = "flowcontrol.apiserver.k8s.io/v1"
ADMISSION = "admissionregistration.k8s.io/v1"
CONFIG_MAPS = {"apiGroups": [""], "resources": ["configmaps"]}
RULES = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]},
    {**CONFIG_MAPS, "verbs": ["create"]},
]
ONE_SEAT = {
    "type": "Limited",
    "limited": {
        "nominalConcurrencyShares": 0,  # one request is served nevertheless, while no other one is
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": {"type": "Reject"},
    },
}


@pytest.fixture
def create(plane):
    """`create(apiVersion, kind, name, **fields)` creates an object without a namespace, for the time of the test."""
    made = []

    def one(version, kind, name, **fields):
        made.append((version, kind, name))
        plane.api.create({"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields})

    yield one
    for each in reversed(made):
        plane.api.delete_if_there(*each)


@pytest.fixture
def throttled(plane, namespace, create):
    """A user for whom the API server serves one request at a time, and a webhook that makes a ConfigMap last 30 s."""
    needs(plane, 29, "a priority level without shares")
    user = f"throttled-{namespace}"
    every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    rule = {"subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": [every]}
    schema = {"priorityLevelConfiguration": {"name": user}, "matchingPrecedence": 2, "rules": [rule]}
    create(FLOW_CONTROL, "PriorityLevelConfiguration", user, spec=ONE_SEAT)
    create(FLOW_CONTROL, "FlowSchema", user, spec=schema)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        entry = {
            "name": "silent.example.org",
            "clientConfig": {
                "url": f"https://127.0.0.1:{silent.getsockname()[1]}",
                "caBundle": base64.b64encode(plane.identities.ca.read_bytes()).decode(),
            },
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
            ],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore",
            "timeoutSeconds": 30,
        }
        create(ADMISSION, "ValidatingWebhookConfiguration", user, webhooks=[entry])
        wait_for(
            lambda: plane.kubectl("get", "configmaps", user=user) and _flow(plane, user, "dispatched_requests_total"),
            "a request that belongs to the FlowSchema",
        )
        yield user


def _flow(plane, user, what):
    """A figure of the API server on the requests of a user's FlowSchema."""
    text = plane.kubectl("get", "--raw", "/metrics").stdout
    line = rf'^apiserver_flowcontrol_{what}{{[^}}]*flow_schema="{user}"[^}}]*}} (\S+)$'
    return sum(map(float, re.findall(line, text, re.MULTILINE)))


def test_an_audit_goes_on_when_the_api_server_has_time_again(plane, namespace, throttled):
    kubeconfig = granted(plane, throttled, RULES)
    slow = ("create", "configmap", "slow", "-n", namespace, "--dry-run=server")
    with ThreadPoolExecutor(2) as threads:
        threads.submit(plane.kubectl, *slow, user=throttled)
        wait_for(lambda: _flow(plane, throttled, "current_executing_requests"), "the slow request")
        audit = threads.submit(vmguard, "audit", "--kubeconfig", kubeconfig, "-n", namespace, "-o", "json")
        wait_for(lambda: audit.done() or _flow(plane, throttled, "rejected_requests_total"), "a rejected request")
        assert not audit.done(), audit.result()
        plane.api.delete(FLOW_CONTROL, "FlowSchema", throttled)
        status, out, err = audit.result()
    assert status == 0, err
    assert json.loads(out)["complete"]
