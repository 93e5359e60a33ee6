"""vmguard reports no entry of the chart as weaker, whatever values narrow all of them, but one value."""

import pytest

from tests.support.installed_entries import entries_of
from webhook.manifests.weaker_entries import weaker

EXPRESSION = {"key": "team", "operator": "NotIn", "values": ["dev"]}
MORE = {"matchLabels": {"tier": "a"}, "matchExpressions": [EXPRESSION]}


@pytest.mark.parametrize("mode", ["audit", "enforce"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"enforce": "deny"},
        {"watchNamespaces": ["monitoring"]},
        {"webhook": {"namespaceSelector": MORE, "objectSelector": MORE, "timeoutSeconds": 1}},
    ],
    ids=str,
)
def test_values_that_a_person_may_choose_are_not_reported(helm, mode, values):
    found = entries_of(helm.rendered(values={"mode": mode, **values}))
    assert found
    assert weaker(found, name="vmguard", trial=mode == "audit") == ()


def test_ignore_for_all_entries_is_reported_where_vmguard_enforces(helm):
    """It can be on purpose. An edit by hand looks the same, and the pods are not secured without vmguard."""
    found = entries_of(helm.rendered(values={"mode": "enforce", "webhook": {"failurePolicy": "Ignore"}}))
    sentences = weaker(found, name="vmguard", trial=False)
    assert sentences
    assert all(each.startswith("failurePolicy of the entry ") for each in sentences)
