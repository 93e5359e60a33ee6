"""The audit scan finds the noncompliant pods of the operator in a real cluster, and no other pods."""

import asyncio
import re
from pathlib import Path

from tests.controlplane.api import wait_for
from tests.controlplane.registration import LABEL, registered
from tests.controlplane.stand_in_operator import recreate
from tests.support.accounts import granted
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, bare_pod, successors
from tests.support.audit_scans import AuditScans, stateful_pod
from tests.support.server import serving_cluster
from tests.support.unharmed import troubles
from webhook.cluster import listing
from webhook.cluster.client import connected
from webhook.cluster.running_pods import running
from webhook.leader import audit_scan as module
from webhook.policy.custom_resources import GROUP


def test_a_pod_older_than_vmguard_is_found_and_an_admitted_one_is_not(plane, guard, namespace):
    hardened = guard(**STRICT_SECURITY).namespace()
    recreate(VMSINGLE, plane.api, hardened).pod()
    name = recreate(VMSINGLE, plane.api, namespace).pod()["metadata"]["name"]
    scans = AuditScans(plane.kubeconfig(), namespace, hardened)
    (result,) = scans.results()
    assert list(result.wrong) == [f"vmsingle of VMSingle {namespace}/t"]
    assert result.judged == {(namespace, "VMSingle"): 1, (hardened, "VMSingle"): 1}
    assert (scans.gauge(namespace), scans.gauge(hardened)) == (1, 0)
    (line,) = scans.lines()
    assert (line["level"], line["pods"], line["noncompliant"]) == ("warning", 2, 1)
    (told,) = line["workloads"]
    assert told.startswith(f"vmsingle of VMSingle {namespace}/t: {name}: not compliant: spec.")


def test_a_pod_that_loses_its_label_stays_on_the_list(plane, namespace):
    """Its owner goes on counting it by another label; so does the survey."""
    pod = stateful_pod(plane, namespace, {"managed-by": "vm-operator"})
    without = {"metadata": {"labels": {"managed-by": None}}}
    scans = AuditScans(plane.kubeconfig(), namespace)
    before, after = scans.results(lambda: plane.api.patch("v1", "Pod", pod["metadata"]["name"], without, namespace))
    relabelled = plane.api.get("v1", "Pod", pod["metadata"]["name"], namespace)
    assert "managed-by" not in relabelled["metadata"]["labels"]
    assert before.noncompliant == after.noncompliant == {(namespace, "VMSingle"): 1}
    assert len(scans.lines()) == 1, "nothing changed, and nothing is said twice"


def test_a_pod_that_never_had_the_label_is_found_by_its_owner(plane, namespace):
    stateful_pod(plane, namespace, {})
    (result,) = AuditScans(plane.kubeconfig(), namespace).results()
    assert result.noncompliant == {(namespace, "VMSingle"): 1}


def test_a_bare_pod_that_is_adopted_is_found_then_and_not_before(plane, guard):
    """The pod had no label, so the API server called no webhook; a quota stops the ReplicaSet's own pod."""
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace()
    made = recreate(VMSINGLE, plane.api, namespace)
    labels = made.pod()["metadata"]["labels"]
    pod = bare_pod("stray")
    pod["metadata"]["labels"] = {"app": "stray"}
    plane.api.create(pod, namespace)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}}
    plane.api.create(quota, namespace)
    wait_for(
        lambda: (
            plane.api.get("v1", "ResourceQuota", "q", namespace).get("status", {}).get("used", {}).get("pods") == "2"
        ),
        "the quota to count both",
    )
    name = made.one("Deployment")["metadata"]["name"]
    plane.api.patch("apps/v1", "Deployment", name, {"spec": {"replicas": 2}}, namespace)

    def adopt():
        plane.api.patch("v1", "Pod", "stray", {"metadata": {"labels": labels}}, namespace)
        wait_for(
            lambda: plane.api.get("v1", "Pod", "stray", namespace)["metadata"].get("ownerReferences"), "the adoption"
        )

    before, after = AuditScans(plane.kubeconfig(), namespace).results(adopt)
    assert before.wrong == {}
    assert [each.example for each in after.wrong.values()] == ["stray"]


def test_finished_and_unmanaged_pods_are_not_on_it_and_pages_make_no_difference(plane, namespace, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 2)
    name = recreate(VMSINGLE, plane.api, namespace).pod()["metadata"]["name"]
    for index in range(5):
        plane.api.create(bare_pod(f"nobodys-{index}"), namespace)
        other = bare_pod(f"other-{index}")
        other["metadata"]["labels"] = {}
        plane.api.create(other, namespace)

    def finish():
        path = f"{plane.api.path('v1', 'Pod', namespace, name)}/status"
        plane.api.request("PATCH", path, {"status": {"phase": "Failed"}}, "application/merge-patch+json")

    before, after = AuditScans(plane.kubeconfig(), namespace).results(finish)
    assert (before.judged.total(), before.noncompliant.total()) == (1, 1)
    assert name not in {each.example for each in after.wrong.values()}


def test_a_pod_whose_owner_cannot_be_read_is_counted_apart(plane, namespace, watcher):
    template = bare_pod()
    template["metadata"].pop("name")
    labels = template["metadata"]["labels"]
    spec = {"serviceName": "x", "selector": {"matchLabels": labels}, "template": template}
    thing = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x"}, "spec": spec}
    plane.api.create(thing, namespace)
    wait_for(lambda: plane.api.list("v1", "Pod", namespace), "the pod")
    scans = AuditScans(watcher, namespace)
    (result,) = scans.results()
    assert (result.unknown, result.wrong) == ({namespace: 1}, {})
    assert scans.metrics.registry.get_sample_value("vmguard_unjudged_pods", {"namespace": namespace}) == 1
    (line,) = scans.lines()
    assert "StatefulSet" in line["unknown_why"]
    assert "HTTP 403" in line["unknown_why"]


def test_look_ups_for_one_namespace_have_an_end_and_known_pods_are_judged_all_the_same(
    plane, namespace, watcher, monkeypatch
):
    monkeypatch.setattr(module, "LOOK_UPS", 1)
    for name in ("a", "b"):
        template = bare_pod()
        template["metadata"] = {"labels": {**template["metadata"]["labels"], "app": name}}
        spec = {"serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": template}
        thing = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}
        plane.api.create(thing, namespace)
        wait_for(lambda name=name: plane.api.find("v1", "Pod", f"{name}-0", namespace), "the pod")
    stateful_pod(plane, namespace, {"managed-by": "vm-operator"})
    scans = AuditScans(watcher, namespace)
    (result,) = scans.results()
    assert (result.unknown, result.judged) == ({namespace: 2}, {(namespace, "VMSingle"): 1})
    assert "one survey looks up no more than 1 objects" in scans.lines()[0]["unknown_why"]


def test_whole_pods_come_in_pages_of_fifty(plane, namespace):
    """Their metadata alone is listed in larger pages."""
    asked = []

    async def ask():
        async with connected(str(plane.kubeconfig())) as client:
            get = client.get
            client.get = lambda path, accept, deadline: (asked.append(path), get(path, accept, deadline))[1]
            async for _ in running(client, (namespace,), lambda _: False):
                pass

    asyncio.run(ask())
    assert [re.search(r"limit=(\d+)", path)[1] for path in asked] == ["50", "500"]


def test_the_line_names_so_many_workloads_and_counts_the_rest(plane, namespace, monkeypatch):
    monkeypatch.setattr(module, "MOST_NAMED", 1)
    recreate(VMSINGLE, plane.api, namespace).pod()
    stateful_pod(plane, namespace, {})
    scans = AuditScans(plane.kubeconfig(), namespace)
    scans.results()
    (line,) = scans.lines()
    assert (len(line["workloads"]), line["more_workloads"], line["noncompliant"]) == (1, 1, 2)


def noncompliant(server, namespace):
    text = server.operation("/metrics")[1]
    found = re.search(
        rf'^vmguard_noncompliant_pods{{kind="VMSingle",namespace="{namespace}"}} (\S+)$', text, re.MULTILINE
    )
    return found and float(found[1])


def test_after_vmguard_is_registered_and_the_pods_are_rolled_the_leader_finds_nothing(plane, tmp_path):
    namespace = plane.namespace("rolled", {LABEL: "rolled"})
    name = recreate(VMSINGLE, plane.api, namespace).pod()["metadata"]["name"]
    settings = {"POD_NAMESPACE": namespace, **STRICT_SECURITY}
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
    with serving_cluster(tmp_path / "before", plane.kubeconfig(), **settings) as server:
        wait_for(lambda: noncompliant(server, namespace) == 1, "the first survey")
        with registered(plane, server.url, Path(server.ca).read_bytes(), "rolled"):
            plane.api.delete("v1", "Pod", name, namespace)
            wait_for(lambda: successors(plane, namespace, name), "the pod")
    with serving_cluster(tmp_path / "after", plane.kubeconfig(), **settings) as server:
        wait_for(lambda: noncompliant(server, namespace) is not None, "the next leader's survey")
        assert noncompliant(server, namespace) == 0
        (line,) = (line for line in server.lines() if line["message"] == "survey")
        assert not [told for told in line["workloads"] if namespace in told]
        assert not troubles(server)


def test_a_leader_without_permission_to_list_pods_serves_and_reports_it(plane, namespace, tmp_path):
    rules = [
        {"apiGroups": ["apps", GROUP], "resources": ["*"], "verbs": ["list", "watch", "get"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    ]
    settings = {"WATCH_NAMESPACE": namespace, "POD_NAMESPACE": namespace}
    with serving_cluster(tmp_path, granted(plane, "no-pods", rules, namespace), **settings) as server:
        told = f"[!]survey may not list pods in namespace {namespace}: HTTP 403"
        wait_for(lambda: told in server.operation("/readyz?verbose")[1], "the missing permission to be named")
        assert server.operation("/readyz") == (200, "ok")
        (line,) = (line for line in server.lines() if line["message"] == "survey failed")
        assert line["reason"].startswith("may not list pods")
