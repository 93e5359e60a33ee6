"""A tenant floods vmguard with costly resources through a real API server, and loses nothing but its own previews."""

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.controlplane.api import ApiError, wait_for
from tests.support.admission_pods import STRICT_SECURITY, weak_pod
from tests.support.costly_resources import costly_distributed
from webhook.policy.custom_resources import GROUP
from webhook.policy.enforcement import LABEL

CONNECTIONS = 24
RENEWALS = 8
"""Of the Lease during the flood: 16 seconds, where 10 without one lose it."""


def _refusal(api, thing, namespace):
    """The message of the API server's refusal of a dry run, "" where it admits the object."""
    try:
        api.create(thing, namespace, dryRun="All")
    except ApiError as error:
        return str(error)
    return ""


def _attack(api, namespace, number, over):
    """Dry runs of a costly resource, one after the other; how many were refused."""
    refused = 0
    while not over.is_set():
        refused += bool(_refusal(api, costly_distributed(f"attack-{number}", namespace), namespace))
    api.close()
    return refused


def _naming_no_policy():
    """A resource that must be denied, as no cluster of this version has PodSecurityPolicies."""
    spec = {"podSecurityPolicyName": "gone"}
    return {"apiVersion": f"{GROUP}/v1beta1", "kind": "VMSingle", "metadata": {"name": "v"}, "spec": spec}


def _skipped(server):
    lines = server.operation("/metrics")[1].splitlines()
    return sum(float(line.split()[1]) for line in lines if 'vmguard_previews_total{outcome="too-busy"}' in line)


def test_a_flood_loses_no_denial_and_no_lease(plane, guard):
    """Every weak pod and every resource without its policy is denied by vmguard, and the leader renews its Lease."""
    home = plane.namespace("flooded-guard")
    guarding = guard(**STRICT_SECURITY, POD_NAMESPACE=home)
    server = guarding.server
    victim, attacker = guarding.namespace(**{LABEL: "deny"}), guarding.namespace()
    pod = weak_pod(plane, victim)
    wait_for(lambda: [line for line in server.lines() if line["message"] == "leading"], "the lead")
    over = threading.Event()
    renewals, refusals = set(), []
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        apis = [plane.api_as("admin", ("system:masters",)) for _ in range(CONNECTIONS)]
        attacks = [pool.submit(_attack, api, attacker, number, over) for number, api in enumerate(apis)]
        try:
            wait_for(lambda: _skipped(server) > CONNECTIONS, "the flood")
            while len(renewals) < RENEWALS:
                refusals.append((_refusal(plane.api, pod, victim), _refusal(plane.api, _naming_no_policy(), victim)))
                renewals.add(plane.api.get("coordination.k8s.io/v1", "Lease", "vmguard", home)["spec"]["renewTime"])
                assert server.operation("/readyz") == (200, "ok")
        finally:
            over.set()
        assert not any(attack.result() for attack in attacks), "the attacker's resources are admitted without previews"
    for of_pod, of_resource in refusals:
        assert "denied the request: not compliant" in of_pod
        assert "denied the request: " in of_resource
        assert "names PodSecurityPolicy 'gone'" in of_resource
    assert not [line for line in server.lines() if line["message"] == "not leading any more"]
