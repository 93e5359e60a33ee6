"""`vmguard level` prints the Pod Security level of each pod."""

import json

import pytest

from tests.support.command import vmguard
from tests.support.sample_pods import resource
from webhook.policy import rules

GOOD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {"name": "a", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
        ],
    },
}
PLAIN = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}, "spec": {"containers": [{"name": "a"}]}}
PROBED = json.loads(json.dumps(GOOD))
PROBED["spec"]["containers"][0]["livenessProbe"] = {"httpGet": {"host": "h", "port": 80}}


@pytest.fixture
def folder(tmp_path):
    for name, thing in {"good": GOOD, "plain": PLAIN, "probed": PROBED}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(thing))
    (tmp_path / "list.yaml").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [GOOD, PLAIN]}))
    return tmp_path


def test_each_pod_has_one_line_with_its_level(folder):
    status, out, err = vmguard("level", "good.json", "plain.json", "list.yaml", cwd=folder)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "good.json: restricted",
        "plain.json: baseline",
        "list.yaml: restricted",
        "list.yaml: baseline",
    ]


def test_v_says_why_it_is_not_better(folder):
    lines = vmguard("level", "-v", "good.json", "plain.json", cwd=folder)[1].splitlines()
    assert lines[:2] == ["good.json: restricted", "plain.json: baseline"]
    assert lines[2] == (
        '  restricted is out of reach: allowPrivilegeEscalation != false (container "a" must set'
        " securityContext.allowPrivilegeEscalation=false)"
    )
    assert len(lines) == 6


def test_the_level_is_that_of_the_kubernetes_version(folder):
    run = ("level", "probed.json", "--kubernetes-version")
    assert vmguard(*run, "1.33", cwd=folder)[1] == "probed.json: restricted\n"
    assert vmguard(*run, "v1.34.2", cwd=folder)[1] == "probed.json: privileged\n"


def test_standard_input_is_read_and_a_file_without_pods_is_reported(folder):
    assert vmguard("level", "-", stdin=GOOD)[1] == "stdin: restricted\n"
    status, out, err = vmguard("level", "-", stdin={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})
    assert (status, out, err) == (0, "", "vmguard level: stdin has no Pod\n")


def test_what_cannot_be_read_is_one_line(folder):
    status, out, err = vmguard("level", "gone.json", cwd=folder)
    assert (status, out) == (2, "")
    assert err == "gone.json: No such file or directory\n"


def test_explain_shows_the_level_of_each_component_of_a_resource():
    cr = resource("VMCluster", spec={"vmselect": {}, "vmstorage": {"securityContext": {}}})
    lines = vmguard("review", "--output", "explain", "-", stdin=cr)[1].splitlines()
    assert lines[1].split()[-2:] == ["POD", "SECURITY"]
    assert lines[2].endswith("baseline")
    assert lines[3].endswith("restricted (baseline before)")
    assert any(line.endswith("[pod-security]") for line in lines)


@pytest.mark.parametrize("rule", [*rules.IDS, "workload"])
def test_every_rule_is_explained(rule):
    status, out, _ = vmguard("explain", rule)
    assert status == 0
    assert len(out) > 200
