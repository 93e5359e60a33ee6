"""Readiness, the log and `vmguard certs status` name what a webhook configuration lacks after a change by hand."""

import json

from tests.controlplane.api import wait_for
from tests.support.command import vmguard
from tests.support.release import ADMISSION, KINDS

NOTE = "[!]weaker-entries "
METRIC = 'vmguard_weaker_entries{configuration="MutatingWebhookConfiguration"}'
SELECTOR = {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["dev"]}]}
ENTRY = "of the entry pods.vmguard.io of MutatingWebhookConfiguration {name}"
SENTENCES = (
    f"failurePolicy {ENTRY} is Ignore instead of Fail: without an answer of vmguard the API server admits the pods",
    f"namespaceSelector {ENTRY} also requires team NotIn (dev): vmguard does not fill the pods that this leaves out",
)


def _status(installation, *arguments):
    environment = {
        "KUBECONFIG": str(installation.plane.kubeconfig()),
        "VMGUARD_WEBHOOK_CONFIGURATION": installation.name,
    }
    return vmguard("certs", "status", *arguments, **environment)[:2]


def _change(installation, *changes):
    """Change the mutating entry `pods.vmguard.io` as a person does with kubectl edit."""
    found = installation.plane.api.get(ADMISSION, KINDS[0], installation.name)
    for entry in (each for each in found["webhooks"] if each["name"] == "pods.vmguard.io"):
        for change in changes:
            change(entry)
    installation.plane.api.replace(found)


def _weaken(entry):
    entry["failurePolicy"] = "Ignore"
    entry["namespaceSelector"]["matchExpressions"] += SELECTOR["matchExpressions"]


def _restore(entry):
    entry["failurePolicy"] = "Fail"
    entry["namespaceSelector"]["matchExpressions"].remove(SELECTOR["matchExpressions"][0])


def test_a_change_by_hand_is_named_until_it_is_undone_and_costs_no_readiness(installation):
    """The condition on namespaces that every entry of this installation has is not reported."""
    server = installation.replica()
    installation.ready(server)
    installation.installed()
    assert NOTE not in server.operation("/readyz?verbose")[1]
    assert _status(installation)[1].endswith("All is well.\n")

    _change(installation, _weaken)
    sentences = [each.format(name=installation.name) for each in SENTENCES]
    line = f"{NOTE}{'; '.join(sentences)}. If this is not on purpose, apply the manifests with --force-conflicts"
    wait_for(lambda: line in server.operation("/readyz?verbose")[1], "the change to be named")
    assert f"{METRIC} 1.0" in server.operation("/metrics")[1]
    assert server.operation("/readyz") == (200, "ok")
    status, out = _status(installation)
    assert status == 0
    assert all(f"Weaker than the manifests, on purpose or not: {each}.\n" in out for each in sentences)
    assert out.endswith("The certificates are well.\n")
    assert json.loads(_status(installation, "--output", "json")[1])["weaker"] == sentences

    _change(installation, _restore)
    wait_for(lambda: NOTE not in server.operation("/readyz?verbose")[1], "the note to go")
    assert f"{METRIC} 0.0" in server.operation("/metrics")[1]
    assert _status(installation)[1].endswith("All is well.\n")
    logged = [each["reason"] for each in server.lines() if each["message"] == "webhook entry weaker"]
    assert logged == sentences, "once each"


def test_in_a_trial_ignore_is_not_named(installation):
    server = installation.replica(VMGUARD_MODE="audit")
    installation.ready(server)
    installation.installed()
    _change(installation, lambda entry: entry.update(failurePolicy="Ignore"))
    _change(installation, lambda entry: entry.update(rules=[{**entry["rules"][0], "operations": ["UPDATE"]}]))
    wait_for(lambda: f"{NOTE}rules of the entry" in server.operation("/readyz?verbose")[1], "the rules to be named")
    assert "failurePolicy" not in server.operation("/readyz?verbose")[1]
