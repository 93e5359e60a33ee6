"""A refusal of the API server becomes a text that names verb, resource, namespace and the rule to add."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from webhook.cluster.collections import BUILT_IN, NAMESPACES, PSP, ROLES
from webhook.cluster.permission import MOST, Permissions, answered, refusal
from webhook.telemetry.log import Log

OWNERS = next(iter(BUILT_IN.values()))
"""A collection that vmguard reads in many namespaces."""


def test_what_belongs_to_the_cluster_is_not_in_all_namespaces():
    rule = '{apiGroups: ["policy"], resources: ["podsecuritypolicies"], verbs: ["watch"]}'
    assert refusal("watch", PSP, "", "WHY") == (
        f"may not watch podsecuritypolicies.policy in the cluster: WHY; add to vmguard's ClusterRole the rule {rule}"
    )


def test_missing_permissions_are_stored_within_a_limit_and_removed_when_granted():
    permissions = Permissions(Log("error"))
    for index in range(MOST * 2):
        permissions.forbidden("get", OWNERS, f"n{index}", "WHY")
    assert len(permissions.missing) == MOST
    permissions.allowed("get", OWNERS, "n1")
    assert len(permissions.missing) == MOST - 1
    permissions.allowed("get", NAMESPACES, "")
    assert permissions.lacks("get", OWNERS)
    permissions.allowed("get", OWNERS, "")
    assert not permissions.missing


@pytest.mark.parametrize(
    ("message", "verb"),
    [
        (
            'roles.rbac.authorization.k8s.io "x" is forbidden: User "vmguard" cannot create resource "roles" in',
            "create",
        ),
        ('roles.rbac.authorization.k8s.io "x" is forbidden: User "vmguard" cannot patch resource "roles" in', "patch"),
        ('roles.rbac.authorization.k8s.io "x" is forbidden: exceeded quota: q, requested: count/roles', ""),
        (
            'roles.rbac.authorization.k8s.io "x" is forbidden: user "vmguard" is attempting to grant RBAC permissions',
            "",
        ),
        ('roles.rbac.authorization.k8s.io "x" is forbidden: unable to create new content in namespace mon because', ""),
        ("", ""),
    ],
)
def test_a_rule_is_named_only_where_a_rule_is_missing(message, verb):
    """And for the verb that the API server names: to patch what is not there is to create it."""
    told = answered("patch", ROLES, "mon", 403, json.dumps({"message": message}).encode())
    assert message in told
    rule = f'{{apiGroups: ["{ROLES.group}"], resources: ["roles"], verbs: ["{verb}"]}}'
    assert told.endswith(f"; add to vmguard's role in namespace mon the rule {rule}") is bool(verb)
    assert ("may not" in told) is bool(verb)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_check_that_finds_a_missing_permission_counts_like_a_request_that_is_refused(allowed):
    """So an alert fires before a pod needs the lookup."""
    counted = []

    class AskedClient:
        async def call(self, *_arguments):
            return SimpleNamespace(status=SimpleNamespace(allowed=allowed))

        def count_refusal(self, verb, resource):
            counted.append((verb, resource))

    permissions = Permissions(Log("error"))
    asyncio.run(permissions.ask(AskedClient(), "get", OWNERS, ""))
    assert counted == ([] if allowed else [("get", OWNERS)])
    assert permissions.lacks("get", OWNERS) is not allowed
