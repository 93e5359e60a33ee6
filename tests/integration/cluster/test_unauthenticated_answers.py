"""The answers of vmguard to every client that can connect."""

import re

from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, weak_pod


def test_dry_run_knows_nothing_of_the_cluster(plane, guard):
    """Of a pod whose owners are in the cluster it does not find the owners, as it would in the files of a question."""
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace()
    pod = recreate(VMSINGLE, plane.api, namespace).pod()
    status, _, answer = guarding.server.dry_run({"apiVersion": "v1", "kind": "Pod", **pod})
    assert status == 200, answer
    assert (answer["workload"] or {}).get("source") != "chain"
    assert plane.api.list("apps/v1", "ReplicaSet", namespace)[0]["metadata"]["uid"] not in str(
        {key: value for key, value in answer.items() if key not in {"pod", "diff"}}
    )


def test_metrics_have_no_name_of_a_pod_or_a_resource(plane, guard):
    """Namespaces and kinds they have."""
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace()
    made = recreate(VMSINGLE, plane.api, namespace)
    names = {made.pod()["metadata"]["name"], "weak"}
    plane.api.create(weak_pod(plane, namespace), namespace)
    names |= {each["metadata"]["name"] for each in plane.api.list("apps/v1", "ReplicaSet", namespace)}
    status, text = guarding.server.operation("/metrics")
    assert status == 200
    assert 'vmguard_admission_requests_total{outcome="patched",webhook="mutate"}' in text
    assert not [name for name in names if re.search(rf"\b{name}\b", text)]
