"""The predicted pods of a resource have the findings and the parts of the pods that real operators made."""

import re

import msgspec
import pytest

from tests.support.golden import CASES, Case
from tests.support.sample_pods import admitted
from webhook.facts import Ref
from webhook.objects import Pod
from webhook.offline.file_facts import FileFacts
from webhook.policy.findings import Change, Violation
from webhook.policy.preview import PodsOfResource
from webhook.policy.rules import check_pod
from webhook.policy.rules.subject import Subject
from webhook.policy.wording import complaint
from webhook.policy.workload import user_annotations, user_containers, user_mounts, user_volumes
from webhook.settings import Settings

DEFAULTS = Settings.from_environment({})
MANAGED = [case for case in CASES if case.category != "unmanaged"]


def _reported(findings, pod):
    """What a person must act on, with containers by name, as operators put them in different orders."""

    def named(found):
        group, index = found[0].rsplit("[", 1)
        return f"{group}[{pod['spec'][group.removeprefix('spec.')][int(index[:-1])]['name']}]"

    texts = (
        complaint(finding) if isinstance(finding, Violation) else finding.text
        for finding in findings
        if not isinstance(finding, Change)
    )
    return sorted(re.sub(r"spec\.\w*[cC]ontainers\[\d+\]", named, text) for text in texts)


def _decided(case: Case):
    settings = Settings.from_environment(case.settings)
    source = FileFacts(case.objects, 37)
    decision, _ = admitted(case.review, source, settings)
    return decision, settings


def _predicted(decision, settings=DEFAULTS):
    """The predicted pod of the same component, by its own resource."""
    identity = decision.identity
    ref = Ref("", "", identity.kind, identity.namespace, identity.name)
    pods = PodsOfResource(ref, identity.spec, identity.parentage).predicted(settings)
    (predicted,) = (each for each in pods if each.workload.component == identity.component)
    return predicted


@pytest.mark.parametrize("case", MANAGED, ids=lambda case: case.path.name)
def test_the_predicted_pod_has_the_findings_of_the_recorded_pod(case: Case):
    """Violations and warnings agree; only that an account gives no token cannot be seen in the resource."""
    decision, settings = _decided(case)
    pod = case.request["object"]
    predicted = _predicted(decision, settings)
    assert predicted.workload.in_daemonset == decision.identity.in_daemonset
    subject = Subject(
        pod=msgspec.convert(predicted.pod, Pod),
        minor=37,
        in_daemonset=predicted.workload.in_daemonset,
        run_as_platform=False,
        harden_sidecars=False,
        user_volumes=user_volumes(predicted.workload),
        user_mounts=user_mounts(predicted.workload),
        user_containers=user_containers(predicted.workload),
        user_annotations=user_annotations(predicted.workload),
    )
    findings = check_pod(subject, predicted.posture)
    real = [text for text in _reported(decision.findings, pod) if "its ServiceAccount or its pod says" not in text]
    assert _reported(findings, predicted.pod) == real


@pytest.mark.parametrize("case", MANAGED, ids=lambda case: case.path.name)
def test_the_predicted_pod_has_the_recorded_containers_and_volumes_that_pod_security_reads(case: Case):
    decision, _ = _decided(case)
    pod, predicted = case.request["object"], _predicted(decision).pod
    operators = set(decision.identity.component.containers)
    for group in ("containers", "initContainers"):
        users = {c["name"] for c in pod["spec"].get(group, ())} - operators
        assert users == {c["name"] for c in predicted["spec"][group]} - operators
    kinds = {"hostPath", "persistentVolumeClaim", "nfs"}
    real = sorted(kind for volume in pod["spec"].get("volumes", ()) for kind in volume.keys() & kinds)
    assert sorted(kind for volume in predicted["spec"]["volumes"] for kind in volume.keys() & kinds) == real
    assert bool(predicted["spec"].get("hostNetwork")) == bool(pod["spec"].get("hostNetwork"))


@pytest.mark.parametrize("case", MANAGED, ids=lambda case: case.path.name)
def test_the_predicted_pod_writes_where_the_recorded_pod_writes(case: Case):
    """Each predicted argument that names a path is on a volume, and is there in the recorded pod."""
    decision, _ = _decided(case)
    pod, predicted = case.request["object"], _predicted(decision).pod
    main = decision.identity.component.main
    real, made = (next(c for c in p["spec"]["containers"] if c["name"] == main) for p in (pod, predicted))

    def rooted(argument):
        flag, _, value = argument.lstrip("-").partition("=")
        return flag, "/" + value.lstrip("/")

    mounts = {"/" + m["mountPath"].lstrip("/") for m in made["volumeMounts"]}
    for argument in made["args"]:
        flag, path = rooted(argument)
        if flag in {"storageDataPath", "cacheDataPath", "tmpDataPath", "storage.path"}:
            assert (flag, path) in {rooted(each) for each in real["args"]}
            assert path in mounts


@pytest.mark.parametrize("case", MANAGED, ids=lambda case: case.path.name)
def test_the_predicted_controller_is_that_of_the_recorded_pod(case: Case):
    """A Deployment runs its pods through a ReplicaSet."""
    decision, _ = _decided(case)
    assert _predicted(decision).workload.workload == decision.identity.workload


@pytest.mark.parametrize("case", MANAGED, ids=lambda case: case.path.name)
def test_the_operators_predicted_volumes_are_recorded_ones(case: Case):
    """They hold the component's data or are paths of the node."""
    decision, _ = _decided(case)
    pod, predicted = case.request["object"], _predicted(decision).pod
    own = user_volumes(decision.identity)
    names = {volume["name"] for volume in predicted["spec"]["volumes"]} - own
    recorded = {volume["name"] for volume in pod["spec"].get("volumes", ())}
    assert {name for name in names if not name.startswith("kube-api-access-")} <= recorded


@pytest.mark.parametrize("case", MANAGED, ids=lambda case: case.path.name)
def test_the_operators_predicted_containers_are_recorded_ones(case: Case):
    """Each has recorded flags, and mounts the data at the recorded path.

    Older operators make other reloaders than the newest one; their backup containers are the same.
    """
    decision, _ = _decided(case)
    pod, predicted = case.request["object"], _predicted(decision)
    for group in ("containers", "initContainers"):
        recorded = {each["name"]: each for each in pod["spec"].get(group, ())}
        for container in predicted.spec[group]:
            name, mounts = container["name"], _mounts(container)
            if name == predicted.workload.component.main or name not in predicted.operator_containers:
                continue
            if case in NEWEST or mounts:
                assert _flags(container) <= _flags(recorded[name])
                assert mounts.items() <= _mounts(recorded[name]).items()


NEWEST = [case for case in MANAGED if "head" in case.path.name]


@pytest.mark.parametrize("case", NEWEST, ids=lambda case: case.path.name)
def test_every_container_of_the_newest_operator_is_predicted(case: Case):
    decision, _ = _decided(case)
    spec, predicted = case.request["object"]["spec"], _predicted(decision)
    recorded = {each["name"] for group in ("containers", "initContainers") for each in spec.get(group, ())}
    assert recorded.intersection(predicted.workload.component.containers) == predicted.operator_containers


def _flags(container):
    return {argument.lstrip("-").partition("=")[0] for argument in container["args"]}


def _mounts(container):
    """Paths by volume, as absolute paths, without the token."""
    return {
        mount["name"]: "/" + mount["mountPath"].lstrip("/")
        for mount in container.get("volumeMounts", ())
        if not mount["name"].startswith("kube-api-access")
    }
