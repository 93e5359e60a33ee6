"""`vmguard audit` while the API server's priority and fairness rejects its requests."""

import base64
import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.controlplane.api import wait_for
from tests.controlplane.fixtures import needs
from tests.support.accounts import READ, granted
from tests.support.command import vmguard

FLOW_CONTROL = "flowcontrol.apiserver.k8s.io/v1"
ADMISSION = "admissionregistration.k8s.io/v1"
CONFIG_MAPS = {"apiGroups": [""], "resources": ["configmaps"]}
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
    """A user whose requests the API server rejects while this lasts, because a slow request takes the only seat.

    A webhook that does not answer makes the creation of a ConfigMap last 30 s. Two other users of the same
    priority level create one again and again.
    """
    needs(plane, 29, "a priority level without shares")
    name = f"throttled-{namespace}"
    slow = [f"slow-{number}-{namespace}" for number in range(2)]
    every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    create(FLOW_CONTROL, "PriorityLevelConfiguration", name, spec=ONE_SEAT)
    for schema, users in ((name, [name]), (f"slow-{namespace}", slow)):
        subjects = [{"kind": "User", "user": {"name": each}} for each in users]
        rules = [{"subjects": subjects, "resourceRules": [every]}]
        spec = {"priorityLevelConfiguration": {"name": name}, "matchingPrecedence": 2, "rules": rules}
        create(FLOW_CONTROL, "FlowSchema", schema, spec=spec)
    for each in slow:
        granted(plane, each, [{**CONFIG_MAPS, "verbs": ["create"]}])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        entry = {
            "name": "silent.example.org",
            "clientConfig": {
                "url": f"https://127.0.0.1:{silent.getsockname()[1]}",
                "caBundle": base64.b64encode(plane.identities.ca.read_bytes()).decode(),
            },
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{**CONFIG_MAPS, "apiVersions": ["v1"], "operations": ["CREATE"]}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore",
            "timeoutSeconds": 30,
        }
        create(ADMISSION, "ValidatingWebhookConfiguration", name, webhooks=[entry])
        stopped = threading.Event()

        def create_slowly(user):
            while not stopped.is_set():
                plane.kubectl("create", "configmap", "x", "-n", namespace, "--dry-run=server", user=user)

        with ThreadPoolExecutor(len(slow)) as threads:
            try:
                for each in slow:
                    threads.submit(create_slowly, each)
                wait_for(
                    lambda: _flow(plane, f"slow-{namespace}", "rejected_requests_total"),
                    "one slow request rejects the other",
                )
                yield name
            finally:
                stopped.set()
                silent.close()


def _flow(plane, user, what):
    """A figure of the API server on the requests of a user's FlowSchema."""
    text = plane.kubectl("get", "--raw", "/metrics").stdout
    line = rf'^apiserver_flowcontrol_{what}{{[^}}]*flow_schema="{user}"[^}}]*}} (\S+)$'
    return sum(map(float, re.findall(line, text, re.MULTILINE)))


def test_an_audit_goes_on_when_the_api_server_has_time_again(plane, namespace, throttled):
    kubeconfig = granted(plane, throttled, [READ])
    with ThreadPoolExecutor(1) as threads:
        audit = threads.submit(vmguard, "audit", "--kubeconfig", kubeconfig, "-n", namespace, "-o", "json")
        wait_for(
            lambda: audit.done() or _flow(plane, throttled, "rejected_requests_total"),
            "a rejected request of the audit",
        )
        assert not audit.done(), audit.result()
        plane.api.delete(FLOW_CONTROL, "FlowSchema", throttled)
        status, out, err = audit.result()
    assert status == 0, err
    assert json.loads(out)["complete"]
