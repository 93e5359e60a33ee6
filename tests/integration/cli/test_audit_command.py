"""`vmguard audit` over files: exit statuses, settings, several clusters, and what no output may have."""

import json

import pytest

from tests.support.command import vmguard
from tests.support.golden import CASES

OUTPUTS = ("table", "wide", "json", "html", "diff")
CANARIES = ("canary-env-1", "canary-secret-2", "canary-annotation-3", "canary-argument-4")

_STRICT = next(case for case in CASES if case.category == "strict" and case.kind == "VMAgent")


def objects(case=_STRICT, namespace="mon", **pod):
    """The objects of a recorded case in one namespace, with the pod that runs."""
    found = json.loads(json.dumps([*case.objects, {"apiVersion": "v1", "kind": "Pod", **case.request["object"]}]))
    for each in found:
        if each["kind"] != "Namespace":
            each["metadata"]["namespace"] = namespace
    found[-1]["metadata"].update({"name": "vmagent-0", "uid": "p-1", **pod})
    return found


def listed(*things):
    return {"apiVersion": "v1", "kind": "List", "items": [each for group in things for each in group]}


@pytest.fixture
def saved(tmp_path):
    file = tmp_path / "cluster-a.json"
    file.write_text(json.dumps(listed(objects())))
    return file


def test_what_kubectl_prints_is_audited_from_standard_input():
    status, out, err = vmguard("audit", "--from", "-", stdin=listed(objects()))
    assert (status, err) == (0, "")
    head, row, _, summary = out.splitlines()[:4]
    assert head.split()[:3] == ["NAMESPACE", "WORKLOAD", "PODS"]
    assert row.split()[:4] == ["mon", "VMAgent/t", "(DaemonSet)", "1"]
    assert summary.startswith("1 pod of 1 workload: 1 changes.")


@pytest.mark.parametrize(("fail_on", "expected"), [("never", 0), ("breaks", 0), ("changes", 1)])
def test_fail_on_decides_the_exit_status(saved, fail_on, expected):
    assert vmguard("audit", "--from", saved, "--fail-on", fail_on)[0] == expected


def test_a_denial_counts_as_breaking(tmp_path):
    pod = objects()
    pod[-1]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    file = tmp_path / "privileged.json"
    file.write_text(json.dumps(listed(pod)))
    status, out, _ = vmguard("audit", "--from", file, "--set", "VMGUARD_ENFORCE=deny", "-o", "json")
    (row,) = json.loads(out)["workloads"]
    assert (status, row["verdict"]) == (1, "DENIED")
    assert "privileged" in row["firstReason"]
    status, out, _ = vmguard("audit", "--from", file, "-o", "json")
    assert (status, json.loads(out)["workloads"][0]["verdict"]) == (0, "CHECK")


def test_what_cannot_be_judged_is_not_ok(tmp_path):
    things = objects()
    for each in things:
        if each["kind"] == "VMAgent":
            each["spec"]["useStrictSecurity"] = "false"
    file = tmp_path / "wrong-type.json"
    file.write_text(json.dumps(listed(things)))
    status, out, _ = vmguard("audit", "--from", file, "--fail-on", "never")
    assert status == 2
    assert "Not judged: 1 pod in mon" in out
    assert "must be a boolean" in out


def test_several_files_make_one_table_with_a_column_for_the_cluster(saved, tmp_path):
    other = tmp_path / "cluster-b.json"
    other.write_text(json.dumps(listed(objects(namespace="logs"))))
    _, out, _ = vmguard("audit", "--from", saved, "--from", other)
    rows = [line.split()[:2] for line in out.splitlines()[:3]]
    assert rows == [["CLUSTER", "NAMESPACE"], ["cluster-a", "mon"], ["cluster-b", "logs"]]


def test_one_namespace_of_a_file(tmp_path):
    file = tmp_path / "two.json"
    file.write_text(json.dumps(listed(objects(), objects(namespace="logs"))))
    _, out, _ = vmguard("audit", "--from", file, "-n", "logs", "-o", "json")
    assert {each["namespace"] for each in json.loads(out)["workloads"]} == {"logs"}


@pytest.mark.parametrize("output", OUTPUTS)
def test_no_output_has_what_a_tenant_keeps_in_a_pod(tmp_path, output):
    env, secret, annotation, argument = CANARIES
    things = objects()
    pod = things[-1]
    pod["metadata"].setdefault("annotations", {})["example.com/note"] = annotation
    container = pod["spec"]["containers"][0]
    container["env"] = [{"name": "PASSWORD", "value": env}]
    container["args"] = [*container.get("args", []), f"-remoteWrite.basicAuth.password={argument}"]
    things.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"x": secret}})
    file = tmp_path / "objects.json"
    file.write_text(json.dumps(listed(things)))
    status, out, err = vmguard("audit", "--from", file, "-o", output)
    assert (status, err) == (0, "")
    assert out
    assert not [canary for canary in CANARIES if canary in out]


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_redacted_output_has_no_name(tmp_path, output):
    things = objects(namespace="secret-namespace", name="secret-pod")
    names = ["secret-namespace", "secret-pod", "secret-resource", "secret-sidecar", "secret-cluster", "secret-claim"]
    for each in things:
        if each["kind"] == "VMAgent":
            each["metadata"]["name"] = "secret-resource"
        for owner in each["metadata"].get("ownerReferences", []):
            owner["name"] = "secret-resource" if owner["kind"] == "VMAgent" else owner["name"]
    spec = things[-1]["spec"]
    spec["containers"].append({"name": "secret-sidecar", "volumeMounts": [{"name": "d", "mountPath": "/d"}]})
    spec.setdefault("volumes", []).append({"name": "d", "persistentVolumeClaim": {"claimName": "secret-claim"}})
    file = tmp_path / "secret-cluster.json"
    file.write_text(json.dumps(listed(things)))
    _, out, _ = vmguard("audit", "--from", file, "-o", output, "--redact")
    assert out
    assert not [name for name in names if name in out]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "VMGUARD_ENFORCE"], "write NAME=VALUE; names are "),
        (["--set", "VMGUARD_LISTEN=:1"], "write NAME=VALUE; names are "),
        (["--set", "VMGUARD_ENFORCE=never"], "VMGUARD_ENFORCE='never' is not allowed"),
        (["--from", "x.json", "--verify"], "--verify needs a cluster"),
        (["--from", "x.json", "--save", "y"], "--save needs a cluster"),
        (["--save", "y", "--redact"], "--redact does not reach --save"),
        (["--output-file", "/no/such/place", "--from", "x"], "there is no such directory"),
        (["--from", "no-such-file.json"], "no-such-file.json: No such file or directory"),
        (["-A", "-n", "mon"], "not allowed with argument"),
        (["--qps", "0"], "is not a number above 0"),
    ],
)
def test_wrong_usage_has_one_line(tmp_path, arguments, message):
    status, out, err = vmguard("audit", *arguments, cwd=tmp_path)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert message in err


def test_a_file_that_is_no_kubernetes_object_is_named(tmp_path):
    file = tmp_path / "odd.json"
    file.write_text("[1, 2]")
    status, out, err = vmguard("audit", "--from", file)
    assert (status, out) == (2, "")
    why = "a list is no Kubernetes object: write the objects one after another, or as items of a List"
    assert err == f"vmguard audit: {file}: {why}\n"
