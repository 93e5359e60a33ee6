"""Facts that are looked up live: each answer of a real API server becomes the fact that it means."""

import json

import yaml

from tests.support.live_facts import looked_up
from tests.support.resource_manifests import custom_resource
from webhook.facts import Absent, Found, NotServed, Ref, Unknown
from webhook.policy.custom_resources import GROUP

SINGLE = Ref(GROUP, "v1beta1", "VMSingle", "mon", "x")


def test_found_absent_and_not_served_are_three_answers(plane, namespace):
    uid = plane.api.create(custom_resource("x", a=1), namespace)["metadata"]["uid"]
    found, absent, elsewhere, served_in_another, not_served, impossible = looked_up(
        plane.kubeconfig(),
        Ref(GROUP, "v1beta1", "VMSingle", namespace, "x"),
        Ref(GROUP, "v1beta1", "VMSingle", namespace, "y"),
        Ref("apps", "v1", "Deployment", "no-such-namespace", "y"),
        Ref(GROUP, "v9", "VMSingle", namespace, "x"),
        Ref("policy", "v1beta1", "PodSecurityPolicy", "", "x"),
        Ref("policy", "v1beta1", "PodSecurityPolicy", "", "../../namespaces/default"),
    )
    assert isinstance(found, Found)
    assert (found.object.metadata.uid, found.object.spec, found.source) == (uid, {"a": 1}, "live")
    assert (absent, elsewhere) == (Absent("live"), Absent("live"))
    assert isinstance(served_in_another, Found), "the table's version is asked for, whatever the reference says"
    assert (not_served, impossible) == (NotServed("live"), NotServed("live"))


def test_a_name_that_no_object_can_have_is_absent_and_leads_nowhere_else(plane):
    (fact,) = looked_up(plane.kubeconfig(), Ref("", "v1", "Namespace", "", "default/pods/x"))
    assert fact == Absent("live")


def test_names_are_those_that_exist(plane, namespace):
    (names,) = looked_up(plane.kubeconfig(), Ref("", "v1", "Namespace", "", ""), names=True)
    assert {"default", namespace} <= set(names)


def test_forbidden_is_unknown_and_names_the_permission(plane, namespace):
    (fact,) = looked_up(plane.kubeconfig("bob", ("staff",)), Ref(GROUP, "v1beta1", "VMSingle", namespace, "x"))
    assert isinstance(fact, Unknown)
    assert fact.reason.startswith(f"may not get vmsingles.{GROUP} in namespace {namespace}: HTTP 403")
    assert 'User "bob" cannot get resource "vmsingles"' in fact.reason
    assert fact.reason.endswith(
        f"; add to vmguard's role in namespace {namespace} the rule "
        f'{{apiGroups: ["{GROUP}"], resources: ["vmsingles"], verbs: ["get"]}}'
    )


def test_a_wrong_token_is_unknown(plane, tmp_path):
    config = yaml.safe_load(plane.kubeconfig().read_text())
    config["users"][0]["user"] = {"token": "wrong"}
    (tmp_path / "config").write_text(json.dumps(config))
    (fact,) = looked_up(tmp_path / "config", SINGLE)
    assert fact == Unknown("HTTP 401 from the API server: Unauthorized", "live")
