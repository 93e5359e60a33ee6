"""What people had trouble with in the field is named, with its place and what to do."""

import pytest

from tests.support.field_cases import FIELD, reviewed, warnings_in
from webhook.cli.files import read_files
from webhook.offline.file_facts import FileFacts
from webhook.offline.inputs import sort_documents
from webhook.offline.judge import judge
from webhook.policy.custom_resources import RESOURCES
from webhook.policy.explanation import explain_resource
from webhook.settings import Settings

RUNNING = (
    "claim vmstorage-db was written as root, pods will run as 65534: on NFS they cannot write, else the first start may"
    " take long. Check: kubectl exec -n mon vmstorage-c-0 -c vmstorage -- stat -- /vm-data [volume-ownership]"
)


def test_a_running_root_pod_with_data_on_a_claim_is_a_warning():
    folder = "op749-default-flips"
    assert warnings_in(f"{folder}/pod.yaml", f"{folder}/objects.yaml") == [RUNNING]
    assert warnings_in(f"{folder}/all.yaml") == [RUNNING]
    assert warnings_in(f"{folder}/all.yaml", VMGUARD_MODE="audit") == [RUNNING]
    assert warnings_in(f"{folder}/all.yaml", rule="volume-ownership", VM_ENABLESTRICTSECURITY="false") == []


@pytest.mark.parametrize(
    ("file", "rule", "texts"),
    [
        ("op749-default-flips/update.json", "volume-ownership", ["written as root, pods will run as 65534"]),
        ("update-user-changes/root-to-1000.json", "volume-ownership", ["root, pods will run as 1000 without"]),
        ("update-user-changes/1000-to-2000.json", "volume-ownership", ["as user 1000, pods will run as 2000"]),
        ("op749-init-chown-inherits/cr.yaml", "file-owner", ["runAsUser: 0, runAsNonRoot: false"]),
        ("op749-init-chown-inherits/cr.yaml", "sidecar", []),
        ("op749-init-chown-0/cr.yaml", "file-owner", ["the kubelet will not start it"]),
        ("backup-fs-dst/cr.yaml", "read-only-root", ["'vmbackuper' writes to /backup"]),
        ("nonroot-no-user/cr.yaml", "image-user", ["its image runs as root: the kubelet will not start it"]),
        ("port-vmauth-80/cr.yaml", "low-port", ["without NET_BIND_SERVICE"]),
        (
            "root-sc-on-vmcluster/cr.yaml",
            "misplaced-field",
            ["Write spec.vmstorage.securityContext", "Write spec.vmstorage.disableAutomountServiceAccountToken"],
        ),
        ("vault601-cr/cr.yaml", "api-access", ["the Vault injector copies a container's token mount"]),
        ("op2544-collector-nonroot/cr.yaml", "volume-ownership", ["/var/lib/vlagent-data", "logs of the node"]),
    ],
)
def test_each_case_has_its_warnings(file, rule, texts):
    warnings = warnings_in(file, rule=rule)
    assert len(warnings) == len(texts)
    for warning, text in zip(warnings, texts, strict=True):
        assert text in warning
        assert len(warning) <= 256


@pytest.mark.parametrize(
    ("file", "titles"),
    [
        ("min", ["zones[east].vmagent (d-east)", "zones[east].vmcluster.vmstorage (d-east)", "vmauth (d)"]),
        (
            "single",
            [
                "zones[east].vmagent (d-east)",
                "zones[west].vmagent (d-west)",
                "zones[east].vmsingle (d-east)",
                "zones[west].vmsingle (d-west)",
                "vmauth (d)",
            ],
        ),
        (
            "common-agent",
            [
                "zones[east].vmagent (d-east)",
                "zones[west].vmagent (d-west)",
                "zones[east].vmcluster.vmstorage (d-east)",
                "vmauth (gate)",
            ],
        ),
    ],
)
def test_every_child_of_a_parent_is_listed_with_its_zone(file, titles):
    (judged,) = reviewed(f"dist-zones/{file}.yaml")
    assert [each.title for each in judged.decision.postures] == titles
    text = explain_resource("", judged.decision)
    assert all(title in text for title in titles)


@pytest.mark.parametrize(
    ("api_version", "kind", "text"),
    [
        ("operator.victoriametrics.com/v1beta1", "VMSingel", "known kinds with a similar name: VMSingle"),
        ("operator.victoriametrics.com/v1beta1", "vmsingle", "known kinds with a similar name: VMSingle [workload]"),
        ("operator.victoriametrics.com/v1", "vlsingles", "known kinds with a similar name: VLSingle [workload]"),
        (
            "operator.victoriametrics.com/v1",
            "VMSingle",
            "apiVersion operator.victoriametrics.com/v1 is none of VMSingle, as far as vmguard knows: write"
            " operator.victoriametrics.com/v1beta1 [workload]",
        ),
        ("operator.victoriametrics.com/v1beta1", "VLSingle", "write operator.victoriametrics.com/v1 [workload]"),
        (
            "operator.victoriametrics.io/v1beta1",
            "VMSingle",
            "not judged: VMSingle of apiVersion operator.victoriametrics.io/v1beta1 is no resource of the operator:"
            " write VMSingle of operator.victoriametrics.com/v1beta1 [workload]",
        ),
        ("operator.victoriametric.com/v1beta1", "vmagent", "write VMAgent of operator.victoriametrics.com/v1beta1"),
        ("victoriametrics.com/v1beta1", "VMSingel", "write VMSingle of operator.victoriametrics.com/v1beta1"),
        ("v1beta1/operator.victoriametrics.com", "VMSingle", "write VMSingle of operator.victoriametrics.com/v1beta1"),
        ("operator.victoriametrics.com/v1beta1", "VMSingle ", "VMSingle (with white space around it)"),
        ("v1", "VMAgent", "write VMAgent of operator.victoriametrics.com/v1beta1"),
        ("operator.victoriametrics.com/v1", "VMRule", "write operator.victoriametrics.com/v1beta1"),
    ],
)
def test_a_wrong_name_is_a_warning_with_the_nearest_right_one(api_version, kind, text):
    (judged,) = _reviewed(api_version, kind)
    assert any(text in each for each in judged.decision.warnings)
    served = "as far as vmguard knows: write" in text or kind in {"VLSingle", "VMRule"}
    assert ("decision    not judged" in explain_resource("", judged.decision)) != served


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("v1", "Service"),
        ("apps/v1", "Deployment"),
        ("example.org/v1", "VMSingle"),
        ("monitoring.coreos.com/v1", "Probe"),
    ],
)
def test_an_object_of_another_group_is_only_a_fact(api_version, kind):
    assert _reviewed(api_version, kind) == []


def test_right_names_have_no_warning():
    for each in RESOURCES:
        (judged,) = _reviewed(f"operator.victoriametrics.com/{each.storage}", each.kind)
        assert not any("apiVersion" in warning for warning in judged.decision.warnings)


def _reviewed(api_version, kind):
    found = sort_documents([("x", {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": {}})])
    return [judge(item, FileFacts(found.facts, 37), Settings.from_environment({})) for item in found.inputs]


def test_the_case_of_an_unknown_kind_names_the_nearest():
    (judged,) = reviewed("unknown-kind/cr.yaml")
    assert "VMSingle" in judged.decision.warnings[0]
    assert "not judged: the operator has no such kind" in explain_resource("", judged.decision)


def test_a_review_of_a_running_pod_has_the_warnings_that_its_resource_has():
    """An audit runs the same rules over the pod. What holds for new pods alone is no warning."""
    folder = "op749-default-flips"
    found = sort_documents(read_files([str(FIELD / f"{folder}/all.yaml")]))
    (pod,) = (item for item in found.inputs if item.kind == "Pod")
    container = pod.object["spec"]["containers"][0]
    container["args"] = [*container.get("args", ()), "-httpListenAddr=:80"]
    low = judge(_again(pod), FileFacts(found.facts, 37, complete=True), Settings.from_environment({}))
    assert any("port 80" in each and each.endswith("[low-port]") for each in low.decision.warnings)
    container["securityContext"] = {"runAsUser": 65534}
    container["volumeMounts"].append({"name": "node", "mountPath": "/node"})
    pod.object["spec"]["volumes"].append({"name": "node", "hostPath": {"path": "/node"}})
    same = judge(_again(pod), FileFacts(found.facts, 37, complete=True), Settings.from_environment({}))
    assert any(each.endswith("[low-port]") for each in same.decision.warnings)
    assert not any("volume node" in each or "[pod-security]" in each for each in same.decision.warnings)


def _again(pod):
    (item,) = sort_documents([("x", pod.object)]).inputs
    return item
