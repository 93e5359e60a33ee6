"""The mutating webhooks and policies of others are found by rule, namespace selector and object selector."""

import pytest

from webhook.audit.foreign_mutations import ForeignMutations
from webhook.audit.selectors import matches
from webhook.audit.trimmed import trimmed
from webhook.manifests.webhooks import Service, Url, configurations

PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


def _webhooks(*rules, **entry):
    return ForeignMutations([{"webhooks": [{"name": "inject.example", "rules": list(rules), **entry}]}])


@pytest.mark.parametrize(
    ("rule", "called"),
    [
        (PODS, True),
        ({**PODS, "resources": ["*"]}, True),
        ({**PODS, "apiGroups": ["*"], "operations": ["*"], "resources": ["*/*"]}, True),
        ({**PODS, "operations": ["UPDATE"]}, False),
        ({**PODS, "resources": ["deployments"]}, False),
        ({**PODS, "apiGroups": ["apps"]}, False),
    ],
)
def test_a_webhook_for_the_creation_of_pods_is_called(rule, called):
    assert _webhooks(rule).of_pod("mon", {}, {}) == ("inject.example" if called else "")


def test_the_selectors_decide_for_which_pods_it_is_called():
    found = _webhooks(
        PODS,
        namespaceSelector={"matchLabels": {"istio": "on"}},
        objectSelector={"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
    )
    assert found.of_pod("mon", {"istio": "on"}, {})
    assert not found.of_pod("mon", {}, {})
    assert not found.of_pod("mon", {"istio": "on"}, {"skip": "1"})
    assert found.of_pod("mon", None, {}), "labels that are not known may match"


def test_a_namespace_is_selected_by_its_name_too():
    chosen = {"matchLabels": {"kubernetes.io/metadata.name": "mon"}}
    found = _webhooks(PODS, namespaceSelector=chosen)
    assert (bool(found.of_pod("mon", {}, {})), bool(found.of_pod("b", {}, {}))) == (True, False)


def test_the_webhooks_of_vmguard_itself_are_not_of_others():
    for target in (Service(), Url("https://127.0.0.1:8443")):
        made = [trimmed(each) for each in configurations(target)]
        assert ForeignMutations(made).of_pod("mon", {}, {}) == ""


def test_many_names_are_counted():
    entries = [{"name": f"w{index}.example", "rules": [PODS]} for index in range(5)]
    assert (
        ForeignMutations([{"webhooks": entries}]).of_pod("n", {}, {}) == "w0.example, w1.example, w2.example and 2 more"
    )


def _policy(binding=None, **constraints):
    policy = {"matchConstraints": {"resourceRules": [PODS], **constraints}}
    objects = [
        {"kind": "MutatingAdmissionPolicy", "metadata": {"name": "add-labels"}, "spec": policy},
        {"kind": "MutatingAdmissionPolicy", "metadata": {"name": "not-bound"}, "spec": policy},
        {"kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": "add-labels", **(binding or {})}},
        {"kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": "not-there"}},
    ]
    return ForeignMutations([trimmed({"apiVersion": "admissionregistration.k8s.io/v1", **each}) for each in objects])


@pytest.mark.parametrize(
    ("found", "called"),
    [
        (_policy(), True),
        (_policy({"matchResources": {"resourceRules": [{**PODS, "operations": ["*"]}]}}), True),
        (_policy({"matchResources": {"resourceRules": [{**PODS, "resources": ["services"]}]}}), False),
        (_policy(resourceRules=[{**PODS, "scope": "Cluster"}]), False),
        (_policy(excludeResourceRules=[PODS]), False),
        (_policy(excludeResourceRules=[{**PODS, "resourceNames": ["one"]}]), True),
        (_policy({"matchResources": {"namespaceSelector": {"matchLabels": {"team": "b"}}}}), False),
        (_policy({"matchResources": {"namespaceSelector": {"matchLabels": {"team": "a"}}}}), True),
        (_policy(objectSelector={"matchLabels": {"app": "other"}}), False),
    ],
)
def test_a_policy_that_is_bound_and_matches_is_called(found, called):
    assert found.of_pod("mon", {"team": "a"}, {"app": "vmsingle"}) == ("policy add-labels" if called else "")


@pytest.mark.parametrize(
    ("expression", "labels", "matched"),
    [
        ({"key": "a", "operator": "In", "values": ["1"]}, {"a": "1"}, True),
        ({"key": "a", "operator": "In", "values": ["1"]}, {}, False),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, {}, True),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, {"a": "1"}, False),
        ({"key": "a", "operator": "Exists"}, {"a": ""}, True),
        ({"key": "a", "operator": "Exists"}, {}, False),
        ({"key": "a", "operator": "DoesNotExist"}, {}, True),
        ({"key": "a", "operator": "DoesNotExist"}, {"a": ""}, False),
        ({"key": "a", "operator": "Unheard"}, {}, True),
    ],
)
def test_each_operator_of_a_selector(expression, labels, matched):
    assert matches({"matchExpressions": [expression]}, labels) is matched
