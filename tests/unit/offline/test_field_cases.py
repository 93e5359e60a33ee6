"""What people had trouble with in the field is named, with its place and what to do."""

import pytest

from tests.support.field_cases import reviewed, warnings_in
from webhook.policy.explanation import explain_resource

RUNNING = (
    "volume 'vmstorage-db': its data was written by root, new pods run as user 65534: the first start changes its group"
    " and may take long, NFS ignores it. Check: kubectl exec -n mon vmstorage-c-0 -- stat /vm-data [volume-ownership]"
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
        ("op749-default-flips/update.json", "volume-ownership", ["written by root, new pods run as user 65534"]),
        ("update-user-changes/root-to-1000.json", "volume-ownership", ["root, new pods run as user 1000 without"]),
        ("update-user-changes/1000-to-2000.json", "volume-ownership", ["by user 1000, new pods run as user 2000"]),
        ("op749-init-chown-inherits/cr.yaml", "volume-ownership", ["runAsUser: 0, runAsNonRoot: false"]),
        ("op749-init-chown-inherits/cr.yaml", "sidecar", []),
        ("op749-init-chown-0/cr.yaml", "volume-ownership", ["the kubelet will not start it"]),
        ("backup-fs-dst/cr.yaml", "read-only-root", ["'vmbackuper' writes to /backup"]),
        ("nonroot-no-user/cr.yaml", "image-user", ["its image runs as root: the kubelet will not start it"]),
        ("port-vmauth-80/cr.yaml", "low-port", ["without NET_BIND_SERVICE"]),
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
