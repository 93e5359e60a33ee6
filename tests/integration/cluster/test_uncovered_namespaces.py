"""Namespaces where vmguard is not called are named by the survey, by metrics and by readiness."""

import pytest

from tests.controlplane.api import wait_for
from tests.controlplane.stand_in_operator import recreate
from tests.support.accounts import granted
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE
from tests.support.audit_scans import AuditScans
from tests.support.resource_manifests import custom_resource
from tests.support.server import serving_cluster
from webhook.policy.custom_resources import GROUP
from webhook.policy.enforcement import EXCLUDED, EXEMPT, MODE_LABEL


def _label(plane, namespace, label, value):
    plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {label: value}}})


def _unknown_label(namespace):
    return f'vmguard_namespaces_with_unknown_label{{namespace="{namespace}"}} 1.0'


def test_the_survey_counts_the_pods_of_an_exempt_namespace_until_the_label_goes(plane, namespace):
    recreate(VMSINGLE, plane.api, namespace).pod()
    _label(plane, namespace, EXEMPT, "true")
    scans = AuditScans(plane.kubeconfig(), namespace)
    exempt, covered = scans.results(lambda: _label(plane, namespace, EXEMPT, None))
    assert (exempt.exempt, exempt.uncovered) == ((namespace,), {namespace: 1})
    assert (covered.exempt, covered.uncovered) == ((), {})
    first, second = scans.lines()
    assert (first["exempt"], first["not_covered"]) == ([namespace], 1)
    assert "the namespace is exempt" in first["workloads"][0]
    assert "the namespace is exempt" not in second["workloads"][0]


def test_the_survey_says_whether_the_namespace_is_in_the_trial(plane, namespace):
    recreate(VMSINGLE, plane.api, namespace).pod()
    scans = AuditScans(plane.kubeconfig(), namespace, VMGUARD_MODE="audit")
    scans.results(lambda: _label(plane, namespace, MODE_LABEL, "enforce"))
    trial, enforced = (line["workloads"][0] for line in scans.lines())
    assert "the namespace is in a trial" in trial
    assert "trial" not in enforced


@pytest.fixture
def in_kube_system(plane):
    """A VMSingle in kube-system with its pod, which is gone after the test."""
    made = recreate(VMSINGLE, plane.api, EXCLUDED)
    made.pod()
    yield
    for each in made.objects:
        plane.api.delete_if_there(each["apiVersion"], each["kind"], each["metadata"]["name"], EXCLUDED)
    wait_for(
        lambda: not [pod for pod in plane.api.list("v1", "Pod", EXCLUDED) if pod["metadata"]["name"].startswith("vm")],
        "the pods in kube-system to be gone",
    )


def test_pods_in_kube_system_are_counted_and_named_as_not_covered(plane, in_kube_system):
    scans = AuditScans(plane.kubeconfig(), EXCLUDED)
    (result,) = scans.results()
    workload = f"vmsingle of VMSingle {EXCLUDED}/t"
    assert (result.uncovered, result.excluded) == ({EXCLUDED: 1}, {workload: 1})
    (line,) = scans.lines()
    assert (line["level"], line["not_covered"], line["excluded"]) == ("warning", 1, [f"{workload}: 1"])
    assert scans.metrics.registry.get_sample_value("vmguard_uncovered_pods", {"namespace": EXCLUDED}) == 1


def test_readiness_names_an_exempt_namespace_at_once_and_the_metric_with_the_survey(plane, namespace, tmp_path):
    _label(plane, namespace, EXEMPT, "true")
    _label(plane, namespace, MODE_LABEL, "Enforce")
    with serving_cluster(tmp_path, plane.kubeconfig(), POD_NAMESPACE=namespace, **STRICT_SECURITY) as server:

        def noted():
            lines = server.operation("/readyz?verbose")[1].splitlines()
            return any(line.startswith("[!]exempt-namespaces ") and namespace in line for line in lines)

        wait_for(noted, "the exempt namespace in readiness")
        metric = f'vmguard_exempt_namespaces{{namespace="{namespace}"}} 1.0'
        wait_for(lambda: metric in server.operation("/metrics")[1], "the exempt namespace in the metrics")
        assert _unknown_label(namespace) in server.operation("/metrics")[1]
        _label(plane, namespace, EXEMPT, None)
        wait_for(lambda: not noted(), "the label to be gone from readiness")


def test_with_watch_namespace_the_leader_reads_the_labels_of_each(plane, namespace, tmp_path):
    """A Role in the namespace allows that."""
    plane.api.create(custom_resource("s"), namespace)
    _label(plane, namespace, EXEMPT, "true")
    _label(plane, namespace, MODE_LABEL, "Enforce")
    rules = [
        {"apiGroups": ["apps", GROUP], "resources": ["*"], "verbs": ["list", "watch", "get"]},
        {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["list", "get"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    ]
    kubeconfig = granted(plane, f"exempt-{namespace}", rules, namespace)
    with serving_cluster(tmp_path, kubeconfig, WATCH_NAMESPACE=namespace, POD_NAMESPACE=namespace) as server:
        metric = f'vmguard_exempt_namespaces{{namespace="{namespace}"}} 1.0'
        wait_for(lambda: metric in server.operation("/metrics")[1], "the exempt namespace in the metrics")
        assert f"[!]exempt-namespaces {namespace}: " in server.operation("/readyz?verbose")[1]
        assert _unknown_label(namespace) in server.operation("/metrics")[1]
