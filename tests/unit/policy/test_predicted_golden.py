"""What is told of a resource's pods before there are any is what would be told of the pods that real operators made."""

import re

import msgspec
import pytest

from tests.support.golden import CASES, Case
from tests.support.sample_pods import admitted
from webhook.facts import Ref
from webhook.objects import Pod
from webhook.offline.file_facts import FileFacts
from webhook.policy.findings import Change, Violation
from webhook.policy.posture import posture_of
from webhook.policy.preview.prediction import predict
from webhook.policy.preview.workloads import whole_workloads
from webhook.policy.rules import RULES
from webhook.policy.rules.subject import Subject
from webhook.policy.wording import complaint
from webhook.policy.workload import Workload, user_volumes
from webhook.settings import Settings

MANAGED = [case for case in CASES if case.category != "unmanaged"]


def _told(findings, pod):
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


def _sketched(identity: Workload):
    """The sketch of the same component, by its own resource."""
    ref = Ref("", "", identity.kind, identity.namespace, identity.name)
    (found,) = (
        each for each in whole_workloads(ref, identity.spec, identity.parentage) if each.component == identity.component
    )
    return predict(found)


@pytest.mark.parametrize("case", MANAGED, ids=lambda case: case.path.name)
def test_the_sketch_of_a_resource_has_the_findings_of_its_recorded_pod(case: Case):
    """Violations and warnings agree; only that an account gives no token cannot be seen in the resource."""
    decision, settings = _decided(case)
    pod = case.request["object"]
    drawn = _sketched(decision.identity)
    assert drawn.in_daemonset == decision.identity.in_daemonset
    posture = posture_of(drawn.workload, settings)
    subject = Subject(
        pod=msgspec.convert(drawn.pod, Pod),
        minor=37,
        in_daemonset=drawn.in_daemonset,
        run_as_platform=False,
        harden_sidecars=False,
        user_volumes=user_volumes(drawn.workload),
    )
    findings = [finding for rule in RULES for finding in rule(subject, posture)]
    real = [text for text in _told(decision.findings, pod) if "its ServiceAccount or its pod says" not in text]
    assert _told(findings, drawn.pod) == real


@pytest.mark.parametrize("case", MANAGED, ids=lambda case: case.path.name)
def test_the_sketch_has_the_recorded_pods_containers_and_volumes_as_far_as_pod_security_reads_them(case: Case):
    decision, _ = _decided(case)
    pod, drawn = case.request["object"], _sketched(decision.identity).pod
    operators = set(decision.identity.component.containers)
    for group in ("containers", "initContainers"):
        users = {c["name"] for c in pod["spec"].get(group, ())} - operators
        assert users == {c["name"] for c in drawn["spec"][group]} - operators
    kinds = {"hostPath", "persistentVolumeClaim", "nfs"}
    real = sorted(kind for volume in pod["spec"].get("volumes", ()) for kind in volume.keys() & kinds)
    assert sorted(kind for volume in drawn["spec"]["volumes"] for kind in volume.keys() & kinds) == real
    assert bool(drawn["spec"].get("hostNetwork")) == bool(pod["spec"].get("hostNetwork"))


@pytest.mark.parametrize("case", MANAGED, ids=lambda case: case.path.name)
def test_the_sketch_writes_where_the_recorded_pod_writes(case: Case):
    """Each argument of the sketch that names a path is on a volume, and is there in the recorded pod."""
    decision, _ = _decided(case)
    pod, drawn = case.request["object"], _sketched(decision.identity).pod
    main = decision.identity.component.main
    real, made = (next(c for c in p["spec"]["containers"] if c["name"] == main) for p in (pod, drawn))

    def rooted(argument):
        flag, _, value = argument.lstrip("-").partition("=")
        return flag, "/" + value.lstrip("/")

    mounts = {"/" + m["mountPath"].lstrip("/") for m in made["volumeMounts"]}
    for argument in made["args"]:
        flag, path = rooted(argument)
        if flag in {"storageDataPath", "cacheDataPath", "tmpDataPath", "storage.path"}:
            assert (flag, path) in {rooted(each) for each in real["args"]}
            assert path in mounts
