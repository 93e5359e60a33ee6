"""The mutating webhooks of others are found by rule, namespace selector and object selector."""

import pytest

from webhook.audit.foreign_webhooks import ForeignWebhooks
from webhook.audit.selectors import matches
from webhook.audit.trimmed import trimmed
from webhook.manifests.webhooks import Service, Url, configurations

PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


def _webhooks(*rules, **entry):
    return ForeignWebhooks([{"webhooks": [{"name": "inject.example", "rules": list(rules), **entry}]}])


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
        assert ForeignWebhooks(made).of_pod("mon", {}, {}) == ""


def test_many_names_are_counted():
    entries = [{"name": f"w{index}.example", "rules": [PODS]} for index in range(5)]
    assert (
        ForeignWebhooks([{"webhooks": entries}]).of_pod("n", {}, {}) == "w0.example, w1.example, w2.example and 2 more"
    )


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
