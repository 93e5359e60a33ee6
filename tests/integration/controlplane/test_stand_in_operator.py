"""The real controllers make of every recorded case the pod that they made when it was recorded."""

import pytest

from tests.controlplane.stand_in_operator import recreate
from tests.support.golden import CASES, projection


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_a_case_made_again_has_the_recorded_pod(case, plane, namespace):
    made = recreate(case, plane.api, namespace)
    pod = made.pod()
    recorded = case.request["object"]
    assert projection(pod) == projection(recorded)
    assert pod["metadata"].get("labels", {}).keys() == recorded["metadata"].get("labels", {}).keys()
    owners = [(owner["kind"], owner.get("controller")) for owner in pod["metadata"].get("ownerReferences", [])]
    assert owners == [(o["kind"], o.get("controller")) for o in recorded["metadata"].get("ownerReferences", [])]
