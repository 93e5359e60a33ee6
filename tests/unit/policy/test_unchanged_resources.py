"""An update that leaves the spec of a resource as it is brings no warning again."""

import pytest

from tests.support.sample_pods import decide, resource

PRIVILEGED = {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]}
SPECS = {
    "a violation of its pods": PRIVILEGED,
    "a policy that is gone": {"podSecurityPolicyName": "gone"},
    "a field of the wrong type": {"useStrictSecurity": "false"},
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("minor", [24, 37])
def test_an_update_of_metadata_finalizers_or_status_brings_no_warning(spec, minor):
    old = resource("VMSingle", spec=spec)
    labelled = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}, "finalizers": ["x"]}, "status": {"a": 1}}
    review = {"oldObject": old}
    decision = decide(labelled, [], webhook="validate", minor=minor, operation="UPDATE", review=review)
    assert (decision.allowed, decision.warnings) == (True, ())


def test_an_update_of_the_spec_brings_the_warnings_of_the_whole_spec():
    old, new = resource("VMSingle", spec=PRIVILEGED), resource("VMSingle", spec={**PRIVILEGED, "retentionPeriod": "2"})
    created = decide(old, [], webhook="validate")
    updated = decide(new, [], webhook="validate", operation="UPDATE", review={"oldObject": old})
    assert updated.warnings == created.warnings != ()
