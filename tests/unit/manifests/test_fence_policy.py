"""The generated policy that limits vmguard's ServiceAccount."""

import re

from tests.support.webhook_attempts import VALUES
from webhook.manifests.fence import ServiceAccount, fence


def test_the_policy_is_for_one_account_and_denies_where_it_cannot_be_evaluated():
    policy, binding = fence(ServiceAccount("monitoring", "guard"))
    (condition,) = policy["spec"]["matchConditions"]
    assert condition["expression"] == "request.userInfo.username == 'system:serviceaccount:monitoring:guard'"
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": "vmguard-fence", "validationActions": ["Deny"]}


def test_policies_of_two_installations_have_names_of_their_own():
    made = [fence(ServiceAccount(), name) for name in ("one", "two")]
    assert [[each["metadata"]["name"] for each in pair] for pair in made] == [["one-fence"] * 2, ["two-fence"] * 2]


def test_no_field_of_a_webhook_is_named_but_those_that_may_differ():
    """A list of the fields that must not differ would miss the ones of a newer Kubernetes."""
    text = " ".join(rule["expression"] for rule in fence(ServiceAccount())[0]["spec"]["validations"])
    listed = {name for names in re.findall(r"k in \[([^\]]*)\]", text) for name in re.findall("'(.*?)'", names)}
    assert listed == {
        "metadata",
        "webhooks",
        "managedFields",
        "generation",
        "resourceVersion",
        "clientConfig",
        "caBundle",
    }
    known = {field.rpartition(".")[2] for field in VALUES} - listed - {"name"}
    assert not [field for field in known if re.search(rf"\b{field}\b", text)]


def test_every_rule_denies_as_forbidden_with_a_message_of_its_own():
    """The code 403 makes vmguard report a denied write; 422 is what a conflict of a JSON Patch looks like."""
    rules = fence(ServiceAccount())[0]["spec"]["validations"]
    assert {rule["reason"] for rule in rules} == {"Forbidden"}
    assert len({rule["message"] for rule in rules}) == len(rules) > 5
