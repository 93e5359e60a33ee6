"""The API server stores for every recorded case the pod that the operator makes."""

import pytest

from tests.controlplane.stand_in_operator import recreate
from tests.support.golden import CASES, expected, for_version, projection


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_the_stored_pod_is_what_the_operator_would_have_made(case, plane, guard):
    """In the idempotent and unmanaged classes this is the pod of the request, with its token."""
    guarding = guard(**case.settings)
    namespace = guarding.namespace()
    pod = recreate(for_version(case, plane.version), plane.api, namespace).pod()
    assert projection(pod) == expected(case)
    outcomes = {line["outcome"] for line in guarding.decisions(namespace) if line["kind"] == "Pod"}
    untouched = case.category in {"idempotent", "unmanaged"}
    assert outcomes <= ({"unchanged", "unmanaged"} if untouched else {"patched", "unchanged", "warned"})
    plane.api.delete("v1", "Namespace", namespace)
