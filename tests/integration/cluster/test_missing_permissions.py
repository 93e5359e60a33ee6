"""Readiness and log name a missing permission: verb, resource, namespace, and the rule to add."""

import itertools
import json
import urllib.error

import pytest

from tests.controlplane.api import wait_for
from tests.controlplane.stand_in_operator import recreate
from tests.support.accounts import Account
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE
from tests.support.admission_reviews import sibling_review
from tests.support.server import serving_cluster, starting_cluster
from webhook.cluster.collections import custom
from webhook.cluster.permission import refusal
from webhook.manifests.crds import definitions
from webhook.policy.custom_resources import BY_KIND, GROUP

_COUNT = itertools.count(1)


def _readiness(server):
    try:
        return server.operation("/readyz?verbose")
    except urllib.error.URLError:
        return 0, ""  # not listening yet


@pytest.mark.parametrize(
    ("taken", "group", "ready"),
    [
        ("list vmsingles", GROUP, False),
        ("watch vmsingles", GROUP, True),
        ("get vmsingles", GROUP, True),
        ("watch replicasets", "apps", True),
        ("list replicasets", "apps", False),
        ("get statefulsets", "apps", True),
        ("get namespaces", "", True),
        ("list namespaces", "", True),
    ],
)
def test_a_permission_that_is_missing_at_the_start_is_named_until_it_is_granted(plane, tmp_path, taken, group, ready):
    """A replica that cannot list what decisions depend on is not ready."""
    verb, plural = taken.split()
    account = Account(plane).lack(taken)
    where = "in the cluster" if plural == "namespaces" else "in all namespaces"
    begins = f"may not {verb} {plural}{f'.{group}' if group else ''} {where}: "
    rule = {"apiGroups": [group], "resources": [plural], "verbs": ["get", "list", "watch"]}
    patch = json.dumps([{"op": "add", "path": "/rules/-", "value": rule}], separators=(",", ":"))
    ends = (
        "; add to ClusterRole vmguard the rule "
        f'{{apiGroups: ["{group}"], resources: ["{plural}"], verbs: ["get", "list", "watch"]}}, or '
        "restore its ClusterRoleBinding if the role has this rule: "
        f"kubectl patch clusterrole vmguard --type json --patch '{patch}'"
    )
    with starting_cluster(tmp_path, account.kubeconfig, **STRICT_SECURITY) as server:
        wait_for(lambda: begins in _readiness(server)[1], "the permission in /readyz")
        wait_for(lambda: (_readiness(server)[0] == 200) is ready, "readiness")
        assert ends in _readiness(server)[1]
        (told,) = [line["reason"] for line in server.lines() if "may not" in line.get("reason", "")]
        assert told.startswith(begins)
        assert told.endswith(ends)
        if verb == "get":
            counted = f'vmguard_api_requests_total{{code="403",resource="{plural}",verb="get"}} '
            assert counted in server.operation("/metrics")[1], "VmguardPermissionMissing reads it"
        if verb != "get":  # which is asked again after a minute
            account.lack()
            wait_for(lambda: "may not" not in _readiness(server)[1], "the permission to be found")
            wait_for(lambda: _readiness(server)[0] == 200, "readiness")


def test_in_one_namespace_it_is_that_namespaces_role_that_is_named(plane, namespace, tmp_path):
    account = Account(plane, namespace).lack("get vmsingles", "list vmagents")
    with starting_cluster(tmp_path, account.kubeconfig, WATCH_NAMESPACE=namespace, **STRICT_SECURITY) as server:
        for verb, plural in (("get", "vmsingles"), ("list", "vmagents")):
            told = refusal(verb, custom({"get": "VMSingle", "list": "VMAgent"}[verb], "v1beta1"), namespace, "WHY")
            begins, _ = told.split("WHY")
            ends = (
                f"; add to Role vmguard-watch in namespace {namespace} the rule "
                f'{{apiGroups: ["{GROUP}"], resources: ["{plural}"], verbs: ["get", "list", "watch"]}}, or '
                "restore its RoleBinding if the role has this rule: "
                f"kubectl patch role vmguard-watch --namespace {namespace} --type json --patch "
            )
            wait_for(lambda begins=begins: begins in _readiness(server)[1], f"{verb} {plural} in /readyz")
            assert ends in _readiness(server)[1]


def test_a_permission_that_is_taken_away_meanwhile_is_named_by_the_look_up_that_fails(plane, namespace, tmp_path):
    """The last state serves, and both log and readiness say what is missing; the next lookup that works ends it."""
    account = Account(plane).lack()
    review = sibling_review(recreate(VMSINGLE, plane.api, namespace).pod(), namespace)
    with serving_cluster(tmp_path, account.kubeconfig, **STRICT_SECURITY) as server:

        def facts_of_the_next_generation():
            review["request"]["object"]["metadata"]["labels"]["pod-template-hash"] = f"unseen-{next(_COUNT)}"
            response = server.ask("POST", "/mutate", review)[2]["response"]
            assert "patch" in response
            return response["auditAnnotations"]["facts"]

        assert "VMSingle=found/live" in facts_of_the_next_generation()
        account.lack("get vmsingles")
        wait_for(lambda: "VMSingle=found/cache" in facts_of_the_next_generation(), "the lookup to be refused")
        begins = f"may not get vmsingles.{GROUP} in namespace {namespace}: HTTP 403"
        assert begins in _readiness(server)[1]
        (told,) = [line["reason"] for line in server.lines() if line["message"] == "permission missing"]
        assert told.startswith(begins)
        account.lack()
        wait_for(lambda: "VMSingle=found/live" in facts_of_the_next_generation(), "the lookup to be allowed")
        assert "may not" not in _readiness(server)[1]


def test_a_kind_that_appears_and_may_not_be_listed_costs_no_readiness(plane, tmp_path):
    """As after an update of the operator whose new kind vmguard's role does not name: only its pods suffer."""
    account = Account(plane).lack("list vmanomalies")
    kind, name = "CustomResourceDefinition", f"vmanomalies.{GROUP}"
    plane.api.delete("apiextensions.k8s.io/v1", kind, name)
    wait_for(lambda: plane.api.find("apiextensions.k8s.io/v1", kind, name) is None, "the definition to go")
    wait_for(lambda: not _serves(plane, "VMAnomaly"), "discovery to say so")
    try:
        with serving_cluster(tmp_path, account.kubeconfig, **STRICT_SECURITY) as server:
            plane.api.create(next(each for each in definitions() if each["metadata"]["name"] == name))
            told = f"[!]vmanomalies.{GROUP} may not list"
            wait_for(lambda: told in _readiness(server)[1], "the new kind to be told")
            assert _readiness(server)[0] == 200
    finally:
        if plane.api.find("apiextensions.k8s.io/v1", kind, name) is None:
            plane.api.create(next(each for each in definitions() if each["metadata"]["name"] == name))
        wait_for(lambda: _serves(plane, "VMAnomaly"), "the kind to be served again")


def _serves(plane, kind):
    return plane.api.serves(f"{GROUP}/{BY_KIND[kind].storage}", kind)
