"""The role of an audit has what the audit reads, and no more."""

from webhook.audit.collect import CLAIMS, OF_CLUSTER
from webhook.cluster.collections import JUDGED, MUTATING_POLICIES, PODS, PSP, WORKLOADS, custom
from webhook.manifests.roles import audit_role
from webhook.policy.custom_resources import BY_KIND

READ = (
    *OF_CLUSTER,
    *MUTATING_POLICIES,
    *WORKLOADS,
    CLAIMS,
    PODS,
    PSP,
    *(custom(kind, BY_KIND[kind].storage) for kind in JUDGED),
)


def test_the_role_allows_to_get_and_list_what_is_read_and_nothing_else():
    rules = audit_role()["rules"]
    granted = {(group, plural) for rule in rules for group in rule["apiGroups"] for plural in rule["resources"]}
    assert granted == {(each.group, each.plural) for each in READ}
    assert {tuple(rule["verbs"]) for rule in rules} == {("get", "list")}
