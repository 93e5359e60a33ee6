"""Kinds that operators v0.75 and v0.76 brought: their pods are made secure, and their resources judged."""

import pytest

from tests.support.sample_pods import LABELS, decide, pod, resource, settings, workload
from webhook.facts import Ref
from webhook.policy.custom_resources import BY_KIND, GROUP, RESOURCES
from webhook.policy.preview import PodsOfResource

RELEASES = {
    "v0.74": (
        "VLAgent VLCluster VLDistributed VLSingle VLogs VMAgent VMAlert VMAlertmanager VMAlertmanagerConfig VMAnomaly"
        " VMAnomalyConfig VMAuth VMCluster VMDistributed VMNodeScrape VMPodScrape VMProbe VMRule VMScrapeConfig"
        " VMServiceScrape VMSingle VMStaticScrape VMUser VTCluster VTSingle"
    ),
    "v0.75": "VTAgent",
    "v0.76": "VMEstimator",
}
"""The kinds of the operator's definitions, each with the first of these releases that has it."""


def test_every_kind_of_a_release_has_a_row():
    assert {kind for kinds in RELEASES.values() for kind in kinds.split()} == {each.kind for each in RESOURCES}


WORKLOADS = {
    "vtagent": ("VTAgent", "StatefulSet", "vtagent-db", "vtagent", {}),
    "vmestimator-storage": ("VMEstimator", "StatefulSet", "vmestimator-storage-db", "vmestimator", {"storage": {}}),
    "vmestimator-storage, by default": ("VMEstimator", "StatefulSet", "vmestimator-storage-db", "vmestimator", {}),
    "vmestimator-select": ("VMEstimator", "Deployment", "vmestimator-select-db", "vmestimator", {"select": {}}),
}


def _decided(kind, controller, name, container, spec):
    made = resource(kind, spec=spec)
    owner = workload(controller, name, made)
    objects, labels = [made, owner], {**LABELS, "app.kubernetes.io/name": name.removesuffix("-db")}
    if controller == "Deployment":
        owner = workload("ReplicaSet", f"{name}-1", owner)
        objects.append(owner)
    return decide(pod(owner, {"containers": [{"name": container}]}, labels=labels), objects)


@pytest.mark.parametrize("component", WORKLOADS)
def test_its_pods_are_made_secure(component):
    decision = _decided(*WORKLOADS[component])
    assert decision.outcome == "patched"
    assert decision.identity.component.name == component.partition(",")[0]
    paths = {operation.path for operation in decision.patch}
    assert {"/spec/securityContext", "/spec/containers/0/securityContext"} <= paths


@pytest.mark.parametrize("component", WORKLOADS)
def test_strict_security_of_the_root_or_of_the_component_counts(component):
    kind, *rest, spec = WORKLOADS[component]
    assert _decided(kind, *rest, {**spec, "useStrictSecurity": False}).outcome == "unchanged"
    if spec:
        (part,) = spec
        strict = {part: {"useStrictSecurity": True}, "useStrictSecurity": False}
        assert _decided(kind, *rest, strict).outcome == "patched"


def test_a_workload_of_another_layout_is_no_known_component():
    """Before v0.76 the sources had `vmestimator-single` for a while."""
    decision = _decided("VMEstimator", "Deployment", "vmestimator-single-db", "vmestimator", {"single": {}})
    assert (decision.outcome, decision.patch) == ("unknown-kind", ())


def _predicted(kind, spec):
    version = BY_KIND[kind].storage
    return list(PodsOfResource(Ref(GROUP, version, kind, "mon", "db"), spec).predicted(settings()))


def test_a_vtagent_writes_to_its_queue():
    (predicted,) = _predicted("VTAgent", {"remoteWrite": [{"url": "http://x"}]})
    (main,) = predicted.spec["containers"]
    assert (main["name"], main["args"]) == ("vtagent", ["-tmpDataPath=/vtagent-data"])
    assert {"name": "tmp-data", "mountPath": "/vtagent-data"} in main["volumeMounts"]
    assert {"name": "tmp-data", "emptyDir": {}} in predicted.spec["volumes"]
    (claimed,) = _predicted("VTAgent", {"storage": {"volumeClaimTemplate": {}}})
    assert claimed.claim == "tmp-data"


@pytest.mark.parametrize("spec", [{"tmpDataPath": "/q"}, {"remoteWriteSettings": {"tmpDataPath": "/q"}}])
def test_a_vtagent_whose_queue_is_elsewhere_needs_a_volume_there(spec):
    decision = decide(resource("VTAgent", spec=spec), [], webhook="validate")
    (warning,) = decision.warnings
    assert warning.startswith("vtagent: container 'vtagent' writes to /q")


def test_a_vmestimator_always_has_storage():
    def names(spec):
        return [each.workload.component.name for each in _predicted("VMEstimator", spec)]

    assert names({}) == ["vmestimator-storage"]
    assert names({"select": {}}) == ["vmestimator-storage", "vmestimator-select"]
