"""The message on a missing permission names the role of the installation, its whole rule, and the command to add it."""

import json
import shlex

import jsonpatch
import pytest

from webhook.cluster.advice import general_advice
from webhook.cluster.collections import LEASES, MUTATING_CONFIGURATIONS, PODS, PSP, ROLES, SECRETS, Collection, custom
from webhook.cluster.permission import refusal, without_command
from webhook.manifests.role_advice import advice
from webhook.manifests.roles import InstallationNames, default_policy_roles, roles
from webhook.settings import Settings

NAMES = InstallationNames("monitoring", "vmguard", "front", "guard-mon", "guard-lease")
ENVIRONMENT = {
    "VMGUARD_SERVICE": "front",
    "VMGUARD_WEBHOOK_CONFIGURATION": "guard-mon",
    "VMGUARD_LEASE": "guard-lease",
}
SINGLES = custom("VMSingle", "v1beta1")


def _advice(*, makes_certificates=True, **environment):
    settings = Settings.from_environment({**ENVIRONMENT, **environment})
    return advice(settings, "monitoring", makes_certificates=makes_certificates)


@pytest.mark.parametrize("watched", [(), ("a", "b")])
def test_the_command_restores_each_rule_of_each_role(watched):
    """For each verb: the patch puts back what the role had for that resource, all verbs together."""
    advise = _advice(WATCH_NAMESPACE=",".join(watched))
    checked = set()
    for role in (each for each in roles(NAMES, watched) if "rules" in each):
        namespace = role["metadata"].get("namespace", "")
        for rule in role["rules"]:
            for plural, verb in ((plural, verb) for plural in rule["resources"] for verb in rule["verbs"]):
                resource = Collection(rule["apiGroups"][0], "v1", "Any", plural)
                command = shlex.split(advise(verb, resource, namespace).partition(": kubectl ")[2])
                place = ["--namespace", namespace] if namespace else []
                *target, _, form, _, patch = command
                assert target == ["patch", role["kind"].lower(), role["metadata"]["name"], *place]
                if form == "merge":  # also where the role has no rules any more
                    assert json.loads(patch) == {"rules": role["rules"]}
                else:
                    repaired = jsonpatch.apply_patch({"rules": [{}]}, json.loads(patch))["rules"]
                    assert repaired == [{}, {**rule, "resources": [plural]}]
                checked.add(role["metadata"]["name"])
    assert len(checked) == 3


def test_a_lookup_in_one_namespace_leads_to_the_cluster_role_where_there_is_one():
    text = refusal("get", SINGLES, "mon", "WHY", _advice())
    assert text.startswith(f"may not get {SINGLES} in namespace mon: WHY; add to ClusterRole guard-mon the rule {{")
    assert (
        'verbs: ["get", "list", "watch"]}, or restore its ClusterRoleBinding if the role has this rule: kubectl patch'
        in text
    )


def test_with_watch_namespace_it_is_the_role_of_that_namespace():
    text = _advice(WATCH_NAMESPACE="a,b")("list", PODS, "b")
    assert text.startswith('Role guard-mon-watch in namespace b the rule {apiGroups: [""], resources: ["pods"], ')


@pytest.mark.parametrize(
    ("verb", "resource", "role"),
    [("get", SECRETS, "front"), ("create", LEASES, "guard-lease-leader-election")],
)
def test_objects_of_vmguards_own_have_a_role_in_its_namespace(verb, resource, role):
    assert _advice()(verb, resource, "monitoring").startswith(f"Role {role} in namespace monitoring the rule ")


def test_where_others_make_the_certificate_no_write_is_advised():
    text = _advice(makes_certificates=False)("get", MUTATING_CONFIGURATIONS, "")
    assert 'verbs: ["get"]' in text
    assert 'resourceNames: ["guard-mon"]' in text


def test_default_policies_have_a_role_of_their_own():
    (role, _) = default_policy_roles(NAMES)
    text = _advice(VM_PSPAUTOCREATEENABLED="true")("create", ROLES, "mon")
    assert text.startswith(f"ClusterRole {role['metadata']['name']} the rule ")


@pytest.mark.parametrize(("verb", "resource"), [("list", SECRETS), ("use", PSP)])
def test_what_no_role_grants_has_the_general_advice(verb, resource):
    assert _advice()(verb, resource, "monitoring") == general_advice(verb, resource, "monitoring")


def test_the_reason_that_the_owner_of_a_pod_reads_ends_before_the_command():
    text = refusal("get", SINGLES, "mon", "WHY", _advice())
    assert without_command(text).endswith("or restore its ClusterRoleBinding if the role has this rule")
    general = refusal("get", SINGLES, "mon", "WHY")
    assert without_command(general) == general
