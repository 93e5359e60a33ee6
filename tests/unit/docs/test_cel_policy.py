"""The benchmark's policy in CEL fills what the table of fields fills."""

from bench.cel_policy import strict_policy
from webhook.facts import NEWEST_MINOR
from webhook.policy.context_fields import FIELDS


def test_the_policy_fills_every_strict_field_and_no_other():
    """A row that is filled in the newest known version is in the policy, with its value; a row left alone is not."""
    policy, binding = strict_policy()
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    fills = policy["spec"]["mutations"][0]["jsonPatch"]["expression"]
    (wanted,) = (each["expression"] for each in policy["spec"]["variables"] if each["name"] == "wanted")
    for row in FIELDS:
        name = row.name.rpartition("/")[2]
        known = row.since <= NEWEST_MINOR
        assert (f"path: '/spec/securityContext/{name}'" in fills) == (row.fills("pod") and known), name
        assert (f"'{name}': dyn(" in wanted) == (row.fills("container") and known), name


def test_the_policy_has_values_as_cel_writes_them():
    """Booleans, numbers, texts, lists and objects are CEL literals."""
    policy, _ = strict_policy()
    fills = policy["spec"]["mutations"][0]["jsonPatch"]["expression"]
    assert "path: '/spec/securityContext/runAsNonRoot', value: true" in fills
    assert "path: '/spec/securityContext/runAsUser', value: 65534" in fills
    assert "value: Object.spec.securityContext.seccompProfile{type: 'RuntimeDefault'}" in fills
    (wanted,) = (each["expression"] for each in policy["spec"]["variables"] if each["name"] == "wanted")
    assert "'capabilities': dyn({'drop': dyn(['ALL'])})" in wanted
