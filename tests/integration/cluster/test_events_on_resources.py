"""Events of vmguard stand on the operator's resources in a real cluster: each once, and on what exists."""

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.registration import LABEL
from tests.controlplane.stand_in_operator import recreate
from tests.support.accounts import granted
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, bare_pod, weak_pod
from tests.support.resource_manifests import custom_resource
from tests.support.sample_pods import LABELS, owned_by
from tests.support.server import serving_cluster
from webhook.cluster.client import connected
from webhook.cluster.discovery import Discovery
from webhook.cluster.event_writer import EventWriter
from webhook.cluster.object_events import write_event
from webhook.facts import Ref
from webhook.manifests.crds import definition
from webhook.policy.custom_resources import GROUP, CustomResource
from webhook.policy.enforcement import LABEL as ENFORCE
from webhook.policy.resource_events import ResourceEvent
from webhook.telemetry.log import Log


def events(plane, namespace, reason=None):
    """The events of vmguard in a namespace, of one reason or all."""
    found = plane.api.list("v1", "Event", namespace, fieldSelector="source=vmguard")
    return [each for each in found if reason in {None, each["reason"]}]


def the_event(plane, namespace, reason):
    """The only event of a reason, once there is one."""
    wait_for(lambda: events(plane, namespace, reason), f"an event {reason}")
    (event,) = events(plane, namespace, reason)
    return event


def _is_on(event, resource):
    involved, metadata = event["involvedObject"], resource["metadata"]
    return (involved["kind"], involved["name"], involved["uid"]) == (
        resource["kind"],
        metadata["name"],
        metadata["uid"],
    )


def _described(plane, namespace, resource):
    """What a person sees."""
    done = plane.kubectl("describe", resource["kind"].lower(), resource["metadata"]["name"], "--namespace", namespace)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _stateful_set(plane, namespace, resource):
    """A StatefulSet of a resource, and the first pod that it makes."""
    template = bare_pod()
    template["metadata"] = {"labels": {"app": "x", **LABELS}}
    spec = {"serviceName": "x", "selector": {"matchLabels": {"app": "x"}}, "template": template}
    meta = {"name": "sts", "labels": dict(LABELS), "ownerReferences": owned_by(resource)}
    plane.api.create({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}, namespace)
    wait_for(lambda: plane.api.find("v1", "Pod", "sts-0", namespace), "the pod")


@contextmanager
def _leading(plane, namespace, folder, **settings):
    """A vmguard that watches one namespace and leads there."""
    folder.mkdir(exist_ok=True)
    own = {"WATCH_NAMESPACE": namespace, "POD_NAMESPACE": namespace, **STRICT_SECURITY, **settings}
    with serving_cluster(folder, plane.kubeconfig(), **own) as server:
        wait_for(lambda: server.metric("vmguard_survey_timestamp_seconds") > 0, "a survey")
        yield server


def test_a_denied_pod_is_an_event_on_its_resource_and_a_dry_run_is_not(plane, guard):
    guarding = guard(**STRICT_SECURITY)
    dry, real = (guarding.namespace(**{ENFORCE: "deny"}) for _ in range(2))
    for namespace, query in ((dry, {"dryRun": "All"}), (real, {})):
        with pytest.raises(ApiError, match="denied the request"):
            plane.api.create(weak_pod(plane, namespace), namespace, **query)
    event = the_event(plane, real, "PodDenied")
    (resource,) = plane.api.list(f"{GROUP}/v1beta1", "VMSingle", real)
    assert _is_on(event, resource)
    assert event["type"] == "Warning"
    (deployment,) = plane.api.list("apps/v1", "Deployment", real)
    text = f"vmguard denied a new pod of Deployment {deployment['metadata']['name']}: not compliant: "
    assert event["message"].startswith(text)
    assert text in _described(plane, real, resource)
    assert events(plane, dry, "PodDenied") == []


def test_the_event_of_a_pod_that_cannot_be_judged_names_the_field(plane, guard, namespace, tmp_path):
    """A running one by the leader, a new one by the replica that refuses it."""
    resource = plane.api.create(custom_resource("s", useStrictSecurity="yes"), namespace)
    _stateful_set(plane, namespace, resource)
    with _leading(plane, namespace, tmp_path):
        event = the_event(plane, namespace, "PodNotJudged")
    assert _is_on(event, resource)
    assert event["message"].startswith("vmguard cannot judge a running pod of StatefulSet sts: ")
    assert "useStrictSecurity" in event["message"]
    label = guard(**STRICT_SECURITY).label
    plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {LABEL: label}}})

    def refused():
        with suppress(ApiError):
            plane.api.delete("v1", "Pod", "sts-0", namespace, gracePeriodSeconds="0")
        return [
            each for each in events(plane, namespace, "PodNotJudged") if "could not judge a new pod" in each["message"]
        ]

    (event,) = wait_for(refused, "a refusal", interval=1)
    assert _is_on(event, resource)


@pytest.fixture
def new_kind(plane):
    """A definition that a newer operator might bring."""
    plane.api.create(definition(CustomResource("VMBar", "vmbars", "vmbar", "v1")))
    wait_for(lambda: plane.api.serves(f"{GROUP}/v1", "VMBar"), "the kind to be served")
    yield "VMBar"
    plane.api.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"vmbars.{GROUP}")


def test_pods_of_an_unknown_kind_are_events_on_their_resource(plane, namespace, new_kind, tmp_path):
    resource = plane.api.create({"apiVersion": f"{GROUP}/v1", "kind": new_kind, "metadata": {"name": "x"}}, namespace)
    _stateful_set(plane, namespace, resource)
    with _leading(plane, namespace, tmp_path):
        event = the_event(plane, namespace, "PodOfUnknownKind")
    assert _is_on(event, resource)
    assert event["message"].startswith("running pods of StatefulSet sts are not secured: ")
    assert "PodOfUnknownKind" in _described(plane, namespace, resource)


@pytest.mark.parametrize(
    ("mode", "helps"),
    [
        ("enforce", "vmguard fills new pods for which the API server calls it"),
        ("audit", "the namespace is in a trial"),
    ],
)
def test_running_pods_that_do_not_comply_are_reported_in_a_trial_too(plane, namespace, tmp_path, mode, helps):
    made = recreate(VMSINGLE, plane.api, namespace)
    made.pod()
    with _leading(plane, namespace, tmp_path, VMGUARD_MODE=mode):
        event = the_event(plane, namespace, "PodNotCompliant")
    assert _is_on(event, made.one("VMSingle"))
    name = made.one("Deployment")["metadata"]["name"]
    assert event["message"].startswith(f"running pods of Deployment {name} are not compliant: spec.")
    assert helps in event["message"]
    assert "PodNotCompliant" in _described(plane, namespace, made.one("VMSingle"))


def test_two_leaders_in_turn_write_one_event(plane, namespace, tmp_path):
    recreate(VMSINGLE, plane.api, namespace).pod()
    with _leading(plane, namespace, tmp_path / "first"):
        first = the_event(plane, namespace, "PodNotCompliant")
    with _leading(plane, namespace, tmp_path / "second") as server:
        looked = 'vmguard_api_requests_total{code="200",resource="events",verb="get"}'
        wait_for(lambda: looked in server.operation("/metrics")[1], "the second leader to see the event of the first")
        second = the_event(plane, namespace, "PodNotCompliant")
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert (first["count"], second["count"]) == (1, 1)
    assert second["lastTimestamp"] == first["lastTimestamp"]


@asynccontextmanager
async def _writing(plane, namespace):
    """A writer of events at work, and its client."""
    log = Log("error")
    async with connected(str(plane.kubeconfig())) as client:
        discovery = Discovery(client, log)
        await discovery.learn()
        writer = EventWriter(client, discovery, (namespace,), tuple, log)
        task = asyncio.create_task(writer.run())
        try:
            yield writer
        finally:
            task.cancel()
            await asyncio.wait([task])


def test_a_resource_that_is_gone_or_made_anew_gets_no_event(plane, namespace):
    """The events wait in one queue, so the last one comes after all others."""

    def event(resource):
        metadata = resource["metadata"]
        ref = Ref(GROUP, "v1beta1", "VMSingle", namespace, metadata["name"], metadata["uid"])
        return ResourceEvent(ref, "PodDenied", "x")

    gone, again, stays = (plane.api.create(custom_resource(name), namespace) for name in ("gone", "again", "stays"))
    for name in ("gone", "again"):
        plane.api.delete(f"{GROUP}/v1beta1", "VMSingle", name, namespace)
    plane.api.create(custom_resource("again"), namespace)

    async def write():
        async with _writing(plane, namespace) as writer:
            for each in (gone, again, stays):
                writer.offer(event(each))
            await asyncio.to_thread(wait_for, lambda: events(plane, namespace), "an event")

    asyncio.run(write())
    (written,) = events(plane, namespace)
    assert _is_on(written, stays)


def test_the_count_of_an_event_is_raised_after_its_time_and_not_before(plane, namespace):
    resource = plane.api.create(custom_resource("s"), namespace)
    version = resource["apiVersion"].partition("/")[2]
    about = Ref(GROUP, version, "VMSingle", namespace, "s", resource["metadata"]["uid"])

    async def write(*agains):
        async with connected(str(plane.kubeconfig())) as client:
            for again in agains:
                await write_event(client, about, "PodDenied", "x", again)

    counts = []
    for agains in ((600,), (600, 600), (0,), (0, 0), (600,)):
        asyncio.run(write(*agains))
        counts.append([event["count"] for event in events(plane, namespace)])
    assert counts == [[1], [1], [2], [4], [4]]


def test_an_event_of_that_name_about_another_object_is_left_alone(plane, namespace):
    """A user who may create events in the namespace can compute the name."""
    about = Ref("", "v1", "ConfigMap", namespace, "a", "u")

    async def write():
        async with connected(str(plane.kubeconfig())) as client:
            await write_event(client, about, "PodDenied", "x", 0)

    asyncio.run(write())
    (mine,) = events(plane, namespace)
    involved = {**mine["involvedObject"], "uid": "other"}
    forged = {"apiVersion": "v1", "kind": "Event", **mine, "involvedObject": involved}
    for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        forged["metadata"].pop(field, None)
    plane.api.delete("v1", "Event", mine["metadata"]["name"], namespace)
    plane.api.create(forged, namespace)
    asyncio.run(write())
    (left,) = events(plane, namespace)
    assert (left["involvedObject"]["uid"], left["count"]) == ("other", 1)


def test_a_missing_permission_is_named_and_costs_events_alone(plane, namespace, tmp_path):
    rules = [
        {"apiGroups": ["apps", GROUP], "resources": ["*"], "verbs": ["list", "watch", "get"]},
        {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["list", "get"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    ]
    recreate(VMSINGLE, plane.api, namespace).pod()
    settings = {"WATCH_NAMESPACE": namespace, "POD_NAMESPACE": namespace, **STRICT_SECURITY}
    with serving_cluster(tmp_path, granted(plane, "no-events", rules, namespace), **settings) as server:
        note = f"[!]create events {namespace} may not create events in namespace {namespace}: "
        wait_for(lambda: note in server.operation("/readyz?verbose")[1], "the missing permission to be named")

        def refused():
            return [line for line in server.lines() if line["message"] == "event not written"]

        wait_for(refused, "the event to be refused")
        assert server.operation("/readyz") == (200, "ok")
        assert server.metric("vmguard_survey_timestamp_seconds") > 0
    assert events(plane, namespace) == []


def test_events_can_be_switched_off(plane, namespace, tmp_path):
    recreate(VMSINGLE, plane.api, namespace).pod()
    with _leading(plane, namespace, tmp_path, VMGUARD_EVENTS="false") as server:
        assert 'resource="events"' not in server.operation("/metrics")[1]
        assert "events" not in server.operation("/readyz?verbose")[1]
    assert events(plane, namespace) == []
