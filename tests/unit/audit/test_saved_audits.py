"""An audit of saved objects: what is counted as not judged, denied or unknown, and that one object hides no other."""

import asyncio
import json

import pytest
import yaml

from tests.support.golden import CASES
from webhook.audit.audits import audit_saved, report_of
from webhook.audit.collect import AuditScope
from webhook.audit.html_report import as_html
from webhook.audit.saved import read_saved
from webhook.audit.text_report import as_table
from webhook.settings import Settings

GROUP = "operator.victoriametrics.com"
_CASE = next(case for case in CASES if case.category == "strict" and case.kind == "VMSingle")
PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


def objects(namespace="mon"):
    """A resource, its workload and its pod, which runs."""
    found = json.loads(json.dumps([*_CASE.objects, {"apiVersion": "v1", "kind": "Pod", **_CASE.request["object"]}]))
    for each in found:
        each["metadata"]["namespace"] = namespace
    found[-1]["metadata"].update({"name": "vmsingle-0", "uid": "p-1"})
    return [each for each in found if each["kind"] != "Namespace"]


def single(**spec):
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "VMSingle",
        "metadata": {"name": "new", "namespace": "mon", "uid": "r-9"},
        "spec": spec,
    }


def audit(*things, minor=37, **settings):
    data = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(things)}).encode()
    assumed = Settings.from_environment(settings)
    found = asyncio.run(audit_saved(read_saved(data), "c", minor, AuditScope(), assumed))
    return report_of([found], assumed)


def test_a_pod_without_its_owners_is_not_judged():
    *_, pod = objects()
    report = audit(pod)
    assert (report.complete, len(report.workloads)) == (False, 0)
    assert report.not_judged[0].pods == 1
    assert "it has the operator's labels" in report.not_judged[0].why


def test_a_pod_of_a_stranger_is_none_of_the_audit():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "c"}]}}
    assert audit(pod).complete


def test_a_resource_that_would_be_denied_has_a_row_although_no_pod_runs():
    (row,) = audit(single(securityContext=5)).workloads
    assert (row.verdict, row.pods) == ("DENIED", 0)
    (row,) = audit(single(podSecurityPolicyName="gone"), minor=24).workloads
    assert row.verdict == "DENIED"


@pytest.mark.parametrize("resources", [["pods"], ["pods/*"], ["*/*"]])
def test_another_webhook_makes_running_and_predicted_pods_unknown(resources):
    webhook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "mesh"},
        "webhooks": [{"name": "mesh.example", "rules": [{**PODS, "resources": resources}]}],
    }
    report = audit(*objects(), single(), webhook)
    assert {row.verdict for row in report.workloads} == {"unknown"}
    assert all("mesh.example" in row.first_reason for row in report.workloads)


def cluster(**source):
    """The item of a saved file that says where its objects are from."""
    whole = {"name": "c", "minor": 37, "seen": ["mon"], **source}
    return {"apiVersion": "vmguard.io/v1", "kind": "AuditedCluster", "metadata": {"name": "c"}, "source": whole}


def test_a_pod_that_will_come_counts_for_what_a_namespace_could_enforce():
    def could(*things):
        return [each.could_enforce for each in audit(*things, cluster()).namespaces]

    assert could(*objects()) == ["restricted"]
    assert could(*objects(), single(hostNetwork=True)) == ["privileged"]


@pytest.mark.parametrize(
    "source", [[], [cluster(seen=[])]], ids=["of kubectl", "of a namespace that was not read whole"]
)
def test_a_namespace_whose_pods_may_not_all_be_in_a_file_is_not_said_to_enforce_anything(source):
    """The report says why, and what it could enforce at the least is no guess."""
    report = audit(*objects(), *source)
    (namespace,) = report.namespaces
    assert (namespace.could_enforce, report.complete) == ("", True)
    assert namespace.why_not_known == "the file does not say that it has all pods of the namespace"
    table = as_table(report)
    assert "that could enforce" not in table
    assert f"What these could enforce is not known ({namespace.why_not_known}): mon\n" in table
    assert namespace.why_not_known in as_html(report)


def test_labels_of_a_namespace_that_could_not_be_read_make_its_workloads_unknown():
    """They decide whether vmguard is called, so nothing is guessed; the finding names the right that is missing."""
    why = "may not get namespaces in the cluster: forbidden"
    report = audit(*objects(), single(), cluster(unreadable={"Namespace": why}))
    assert {each.verdict for each in report.workloads} == {"unknown"}
    (namespace,) = report.namespaces
    assert (namespace.coverage, namespace.could_enforce) == ("unknown", "")
    for row in report.workloads:
        (finding,) = [each for each in row.findings if "labels" in each.text]
        assert f"the labels of namespace mon could not be read ({why})" in finding.text
        assert yaml.safe_load(finding.fix) == {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}


def test_resources_that_are_not_judged_are_not_counted_as_no_pods():
    unknown, broken = single(), {**single(), "metadata": {"name": 5}}
    owner = {"apiVersion": f"{GROUP}/v1", "kind": "VMNew", "name": "x", "uid": "o-1", "controller": True}
    unknown["metadata"]["ownerReferences"] = [owner]
    report = audit(unknown, broken)
    assert [each.pods for each in report.not_judged] == [0, 0]
    page = as_html(report)
    assert "<strong>Resources</strong> in <bdi>mon</bdi>: <bdi>VMSingle mon/new" in page
    assert "<strong>Objects</strong>: <bdi>VMSingle 5: " in page
    assert "0 pods</strong>" not in page
    assert "Not judged: objects (VMSingle 5: " in as_table(report)
    assert "no pod runs" in as_html(audit(single()))


def _nested(levels):
    value = {}
    for _ in range(levels):
        value = {"capabilities": value}
    return value


@pytest.mark.parametrize(
    "broken",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": 5}},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "x", "labels": {"a": 5}}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": [], "spec": 5},
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "x"}, "spec": {"accessModes": 5}},
        single(containers=[{"name": "a", "securityContext": _nested(300)}]),
        "a string",
        5,
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "x"},
            "webhooks": [
                {"name": "a", "rules": [], "clientConfig": {"url": "http://[bad"}},
                {"name": "b", "rules": 5, "namespaceSelector": {"matchExpressions": [{"key": [], "values": 5}]}},
            ],
        },
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_object_of_an_odd_shape_hides_no_other(broken):
    report = audit(broken, *objects())
    assert [row.name for row in report.workloads if row.pods] == ["t"]


def test_what_is_finished_or_being_deleted_is_left_out():
    *rest, pod = objects()
    over = {**pod, "metadata": {**pod["metadata"], "uid": "p-2"}, "status": {"phase": "Succeeded"}}
    going = {**pod, "metadata": {**pod["metadata"], "uid": "p-3", "deletionTimestamp": "2026-11-29T00:00:00Z"}}
    assert audit(*rest, pod, pod, over, going).summary.pods == 1


def test_the_first_reason_is_one_for_the_verdict():
    *rest, pod = objects()
    pod["spec"]["containers"].append({"name": "side", "image": "i", "securityContext": {"runAsUser": 5}})
    webhook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "mesh"},
        "webhooks": [{"name": "mesh.example", "rules": [PODS]}],
    }
    (row,) = [each for each in audit(*rest, pod, webhook).workloads if each.pods]
    assert (row.verdict, "mesh.example" in row.first_reason) == ("unknown", True)


def _labelled(**labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mon", "labels": labels}}


def test_a_namespace_that_is_enforced_by_its_label_is_enforced_for_resources_without_pods_too():
    enforced = _labelled(**{"vmguard.io/mode": "enforce"})
    (row,) = audit(enforced, single(), VMGUARD_MODE="audit").workloads
    assert (row.verdict, row.level_after) == ("changes", "restricted")


@pytest.mark.parametrize("label", ["enforce", "audit"])
def test_a_resource_that_is_denied_or_would_be_denied_has_the_same_row(label):
    namespace = _labelled(**{"vmguard.io/mode": label})
    (row,) = audit(namespace, single(securityContext=5), VMGUARD_MODE="audit").workloads
    assert (row.verdict, [each.id for each in row.findings]) == ("DENIED", ["workload"])


def test_in_a_trial_nothing_changes_for_running_pods_and_resources_without_pods():
    for things in (objects(), [single()]):
        (row,) = audit(_labelled(), *things, VMGUARD_MODE="audit").workloads
        assert (row.verdict, row.level_after) == ("ok", row.level_now)


def test_the_order_of_pods_does_not_change_what_is_unknown():
    """One pod of a workload is called by another webhook, the other is not."""
    *rest, pod = objects()
    pod["spec"]["containers"].append({"name": "side", "image": "i", "securityContext": {"runAsUser": 5}})
    other = json.loads(json.dumps(pod))
    other["metadata"].update({"name": "vmsingle-1", "uid": "p-2"})
    other["metadata"]["labels"]["mesh"] = "yes"
    webhook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "mesh"},
        "webhooks": [{"name": "m.x", "rules": [PODS], "objectSelector": {"matchLabels": {"mesh": "yes"}}}],
    }
    for pods in ([pod, other], [other, pod]):
        (row,) = audit(*rest, *pods, webhook).workloads
        assert row.verdict == "unknown"
