"""Cached objects are fresh for the first pod of a generation, cheap for the next ones, and serve during an outage."""

import re

from tests.controlplane.api import wait_for
from tests.controlplane.plane import control_plane
from tests.controlplane.registration import LABEL
from tests.controlplane.stand_in_operator import recreate
from tests.support.accounts import granted
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, scale
from tests.support.admission_reviews import sibling_review
from tests.support.server import serving_cluster
from tests.support.unharmed import troubles, unharmed
from webhook.policy.custom_resources import GROUP


def requests_to_the_api_server(server):
    """How many lists, lookups and discoveries vmguard has made; watches and leader election are not counted."""
    text = server.operation("/metrics")[1]
    labels = r'code="\d+",resource="(?!leases).*",verb="(?:get|list)"'
    counts = re.findall(rf"^vmguard_api_requests_total{{{labels}}} (\S+)$", text, re.MULTILINE)
    return sum(map(float, counts))


def test_a_pod_made_right_after_its_resource_was_changed_is_judged_by_the_change(plane, guard):
    """Ten times the resource turns around and its workload is rolled at once: no pod is judged by the old word."""
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace()
    made = recreate(VMSINGLE, plane.api, namespace)
    made.pod()
    name = made.one("Deployment")["metadata"]["name"]
    for turn in range(10):
        strict = turn % 2 == 1
        plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "t", {"spec": {"useStrictSecurity": strict}}, namespace)
        template = {"metadata": {"annotations": {"turn": str(turn)}}}
        plane.api.patch("apps/v1", "Deployment", name, {"spec": {"template": template}}, namespace)

        def rolled(turn=turn):
            pods = plane.api.list("v1", "Pod", namespace)
            return [pod for pod in pods if pod["metadata"].get("annotations", {}).get("turn") == str(turn)]

        (pod,) = wait_for(rolled, "the pod of the new generation")
        assert (pod["spec"]["securityContext"] != {}) is strict, turn


def test_a_burst_costs_look_ups_for_its_generation_and_not_for_its_pods(plane, guard):
    """Discovery and lists may add a few requests at any time; a lookup for each of 100 pods would be hundreds."""
    guarding = guard(**STRICT_SECURITY)
    namespace = guarding.namespace()
    made = recreate(VMSINGLE, plane.api, namespace)
    made.pod()
    name = made.one("Deployment")["metadata"]["name"]
    before = requests_to_the_api_server(guarding.server)
    scale(plane, namespace, name, 100)
    template = {"metadata": {"annotations": {"turn": "1"}}}
    plane.api.patch("apps/v1", "Deployment", name, {"spec": {"template": template}}, namespace)
    wait_for(
        lambda: any("turn" in p["metadata"].get("annotations", {}) for p in plane.api.list("v1", "Pod", namespace)),
        "pods of the new generation",
    )
    assert requests_to_the_api_server(guarding.server) - before < 80


def test_a_definition_that_goes_and_comes_is_followed(plane, guard):
    """VTSingle here, which no other test of this folder makes pods of."""
    guarding = guard(**STRICT_SECURITY)
    definition = plane.api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"vtsingles.{GROUP}")

    with unharmed(guarding.server):
        plane.api.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"vtsingles.{GROUP}")
        wait_for(
            lambda: plane.api.find("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"vtsingles.{GROUP}") is None,
            "the definition to go",
        )
        for field in ("resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"):
            definition["metadata"].pop(field, None)
        definition.pop("status", None)
        plane.api.create(definition)
        resource = {"apiVersion": f"{GROUP}/v1", "kind": "VTSingle", "metadata": {"name": "t"}, "spec": {}}
        namespace = guarding.namespace()
        wait_for(lambda: _created(plane, resource, namespace), "the resource to be served again")

        def counted():
            text = guarding.server.operation("/metrics")[1]
            return f'vmguard_cache_objects{{namespace="",resource="vtsingles.{GROUP}"}} 1.0' in text

        wait_for(counted, "the resource to be watched again")
    plane.api.delete("v1", "Namespace", namespace)


def _created(plane, resource, namespace):
    try:
        plane.api._resources.clear()
        return plane.api.create(resource, namespace)
    except Exception:  # noqa: BLE001 - not served yet
        return None


def test_an_outage_is_answered_from_the_cache_and_reported(tmp_path):
    """The API server dies and comes back: vmguard decides on known pods, refuses unknown ones, and reports the
    outage."""
    with control_plane() as plane:
        plane.install_resources()
        namespace = plane.namespace("mon", {LABEL: "outage"})
        pod = recreate(VMSINGLE, plane.api, namespace).pod()
        review = sibling_review(pod, namespace)
        with serving_cluster(tmp_path, plane.kubeconfig(), **STRICT_SECURITY) as server:
            known = server.ask("POST", "/mutate?timeout=30s", review)[2]["response"]
            assert known["patchType"] == "JSONPatch"
            with unharmed(server):
                plane.stop_api_server()
                again = server.ask("POST", "/mutate?timeout=30s", review)[2]["response"]
                assert again["patch"] == known["patch"]
                assert "VMSingle=found/cache" in again["auditAnnotations"]["facts"]
                review["request"]["object"]["metadata"]["labels"]["pod-template-hash"] = "unseen"
                unseen = server.ask("POST", "/mutate?timeout=30s", review)[2]["response"]
                assert unseen["patch"] == known["patch"], "the last state of the same UID serves"
                review["request"]["object"]["metadata"]["ownerReferences"][0]["name"] = "never-seen"
                status, _, body = server.ask("POST", "/mutate?timeout=30s", review)
                assert status == 500
                assert (
                    "ReplicaSet mon/never-seen could not be read: the API server cannot be reached" in body["message"]
                )
                for trouble in ("[!]vmsingles", "[!]discovery"):
                    wait_for(
                        lambda trouble=trouble: trouble in server.operation("/readyz?verbose")[1],
                        f"{trouble} to be told",
                    )
                assert server.operation("/readyz")[0] == 200, "ready though nothing is reached"
                plane.start_api_server()
                wait_for(lambda: not troubles(server), "the watches to be well again", 40)
                plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "t", {"spec": {"useStrictSecurity": False}}, namespace)
                review = sibling_review(pod, namespace)
                wait_for(lambda: "patch" not in server.ask("POST", "/mutate", review)[2]["response"], "the change")
                assert any(line["message"] == "watching again" for line in server.lines())


_READ = ["get", "list", "watch"]
RULES = [
    {"apiGroups": ["apps"], "resources": ["replicasets", "deployments", "statefulsets", "daemonsets"], "verbs": _READ},
    {"apiGroups": [GROUP], "resources": ["*"], "verbs": _READ},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "get", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
]


def test_some_namespaces_need_a_role_in_each_and_nothing_else(plane, tmp_path):
    """With Roles alone, in five: pods are hardened, those elsewhere untouched, and no request is ever forbidden."""
    ours, theirs = (plane.namespace(f"single-{name}", {LABEL: "single"}) for name in ("ours", "theirs"))
    all_ours = [ours, *(plane.namespace(f"single-{index}") for index in range(4))]
    (kubeconfig,) = {granted(plane, "vmguard-single", RULES, each) for each in all_ours}
    environment = {"WATCH_NAMESPACE": ",".join(all_ours), "POD_NAMESPACE": ours, **STRICT_SECURITY}
    with serving_cluster(tmp_path, kubeconfig, **environment) as server:
        wait_for(lambda: not troubles(server), "every watch to be open")
        pods = {name: recreate(VMSINGLE, plane.api, name).pod() for name in (ours, theirs)}
        answers = {
            name: server.ask("POST", "/mutate", sibling_review(pod, name))[2]["response"] for name, pod in pods.items()
        }
        validated = server.ask("POST", "/validate", sibling_review(pods[ours], ours))[2]["response"]
        wait_for(lambda: any(line["message"] == "survey" for line in server.lines()), "it to lead and survey")
        metrics = server.operation("/metrics")[1]
    assert "patch" in answers[ours]
    assert "VMSingle=found/live" in answers[ours]["auditAnnotations"]["facts"]
    assert "patch" not in answers[theirs]
    assert answers[theirs]["auditAnnotations"]["decision"] == "ignored: namespace is not watched"
    assert "Namespace=found/live" in validated["auditAnnotations"]["facts"]
    refused = re.findall(r'^vmguard_api_requests_total\{code="40[13]",(.*)\} ', metrics, re.MULTILINE)
    assert all("webhookconfigurations" in each for each in refused), "it compares them with its certificate if it may"
    counted = set(re.findall(r'^vmguard_api_requests_total\{code="20.",(.*)\} ', metrics, re.MULTILINE))
    apart = [("list", "pods"), ("list", "vmsingles"), ("watch", "vmsingles"), ("get", ""), ("get", "vmsingles")]
    apart += [("get", "leases"), ("create", "leases"), ("create", "selfsubjectaccessreviews")]
    assert {f'resource="{resource}",verb="{verb}"' for verb, resource in apart} <= counted
