"""`vmguard review` prints its decisions in each output format, and bad input is one line."""

import json
import subprocess
import sys
import uuid

import pytest
import yaml

from tests.support.command import vmguard
from tests.support.sample_pods import pod, resource, vmsingle
from tests.support.server import environment


@pytest.fixture
def files(tmp_path):
    thing, objects = vmsingle()
    (tmp_path / "pod.json").write_text(json.dumps(thing))
    (tmp_path / "objects.yaml").write_text("---\n".join(map(yaml.safe_dump, objects)))
    return tmp_path


def test_review_is_one_line_of_json_for_each_input(files):
    status, out, err = vmguard("review", "--objects", "objects.yaml", "pod.json", "objects.yaml", cwd=files)
    assert (status, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert first["response"]["patchType"] == "JSONPatch"
    assert uuid.UUID(first["response"]["uid"]).version == 5
    assert second["response"]["allowed"] is True
    assert "patch" not in second["response"]


def test_the_same_bytes_give_the_same_uid(files):
    outs = {vmguard("review", "pod.json", cwd=files)[1] for _ in range(2)}
    assert len(outs) == 1


def test_the_output_can_be_the_pod_the_patch_or_the_diff(files):
    run = ("review", "--objects", "objects.yaml", "pod.json", "--output")
    admitted = yaml.safe_load(vmguard(*run, "pod", cwd=files)[1])
    assert admitted["spec"]["securityContext"]["runAsUser"] == 65534
    assert json.loads(vmguard(*run, "patch", cwd=files)[1])[0]["op"] == "add"
    diff = vmguard(*run, "diff", cwd=files)[1]
    assert diff.startswith("--- as asked\n+++ as admitted\n")
    assert "+    runAsUser: 65534" in diff
    assert "\033" not in diff


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"operation": "DELETE"}, "not judged: operation DELETE"),
        ({"operation": "UPDATE", "subResource": "status"}, "not judged: subresource status"),
        ({"kind": {"group": "operator.victoriametrics.com", "version": "v1beta1", "kind": "VMRule"}}, ""),
    ],
    ids=str,
)
def test_explain_says_why_a_resource_is_not_judged(tmp_path, change, line):
    thing = resource("VMSingle")
    kind = {"group": "operator.victoriametrics.com", "version": "v1beta1", "kind": "VMSingle"}
    request = {"uid": "u", "operation": "CREATE", "kind": kind, "namespace": "mon", "name": "db", "object": thing}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**request, **change}}
    (tmp_path / "review.json").write_text(json.dumps(review))
    _, out, err = vmguard("review", "-o", "explain", "review.json", cwd=tmp_path)
    assert (out.splitlines()[1].strip(), err) == (line or "makes no pods of its own", "")


def test_explain_says_what_why_whose_and_what_to_do(files):
    status, out, _ = vmguard("review", "--objects", "objects.yaml", "pod.json", "--output", "explain", cwd=files)
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "Pod mon/db-0  (pod.json:1)"
    assert "found by its owners: ReplicaSet vmsingle-db-1 > Deployment vmsingle-db > VMSingle db" in lines[1]
    assert lines[2] == "  security    strict, set by VM_ENABLESTRICTSECURITY=true"
    row = next(
        line.split("  ") for line in lines if line.startswith("  security-context  add     spec.securityContext ")
    )
    assert "runAsNonRoot=true, runAsUser=65534, " in "  ".join(row)
    assert "to differ: write spec.securityContext; an empty one opts out" in out
    assert lines[-1] == "Summary: 1 pod: 1 would change, 0 would not; 0 need manual changes; 0 denied"


def test_explain_has_a_row_for_each_container_and_group_of_fields_and_with_v_for_each_field(files):
    run = ("review", "--objects", "objects.yaml", "pod.json", "--output", "explain")
    rows = {
        flag: [
            line for line in vmguard(*run, *flag, cwd=files)[1].splitlines() if line.startswith("  security-context")
        ]
        for flag in ((), ("-v",))
    }
    assert [row.split()[2] for row in rows[()]] == ["spec.securityContext", "spec.containers[0].securityContext"]
    assert (
        rows[()][1]
        .split(None, 3)[3]
        .startswith(
            'privileged=false, allowPrivilegeEscalation=false, readOnlyRootFilesystem=true, capabilities.drop=["ALL"], '
        )
    )
    assert len(rows[("-v",)]) == 13
    assert rows[("-v",)][0].split() == [
        *("security-context", "add", "spec.securityContext.runAsNonRoot", "true", "VM_ENABLESTRICTSECURITY")
    ]


NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "mon", "labels": {"vmguard.io/enforce": "deny"}},
}
PRIVILEGED = {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]}


def test_explain_says_what_happens_to_the_pods_of_a_resource_and_counts_their_violations():
    weak, good = resource("VMSingle", "weak", PRIVILEGED), resource("VMSingle", "good")
    of_two = {"apiVersion": "v1", "kind": "List", "items": [weak, good]}
    in_namespace = {**of_two, "items": [NAMESPACE, *of_two["items"]]}
    for listed, pods in ((of_two, "11 changes, 2 to correct by hand"), (in_namespace, "denied, 2 to correct by hand")):
        status, out, err = vmguard("review", "--output", "explain", "-", stdin=listed)
        lines = out.splitlines()
        assert status == 0
        assert f"  {pods}  " in lines[2]
        assert "  decision    allowed, with 3 warnings" in lines
        assert any("  13 changes  " in line for line in lines)
        assert lines[-1] == "Summary: 2 resources; 2 need manual changes; 0 denied"
        assert all(line.startswith("Warning: VMSingle mon/weak: ") for line in err.splitlines())
        assert err.count("Warning: VMSingle mon/weak: pods will be denied: vmsingle: ") == 2 * (listed is in_namespace)


@pytest.mark.parametrize(
    ("spec", "manual"),
    [
        ({"securityContext": {"runAsNonRoot": True}}, 1),
        ({"storageDataPath": "/x"}, 1),
        ({"port": "80"}, 0),
        ({**PRIVILEGED, "storageDataPath": "/x"}, 3),
    ],
    ids=["image-user", "read-only-root", "low-port", "violations too"],
)
def test_the_summary_counts_what_keeps_a_container_from_running(spec, manual):
    _, out, _ = vmguard("review", "--output", "explain", "-", stdin=resource("VMSingle", spec=spec))
    assert out.splitlines()[-1] == f"Summary: 1 resource; {manual} need manual changes; 0 denied"
    assert (f", {manual} to correct by hand" in out) == bool(manual)


def test_the_summary_counts_it_for_a_running_pod_too():
    thing, objects = vmsingle({"securityContext": {"runAsNonRoot": True}})
    running = {**thing, "status": {"phase": "Running"}, "spec": {**thing["spec"], "nodeName": "n"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [*objects, running]}
    _, out, _ = vmguard("review", "--output", "explain", "-", stdin=listed)
    assert out.count("the kubelet will not start it") == 2
    assert "; 2 need manual changes; " in out.splitlines()[-1]


def test_a_denied_resource_is_not_warned_of_the_same_fault():
    denied = resource("VMSingle", spec={"securityContext": {"runAsNonRoot": True, "runAsUser": 0}})
    status, _, err = vmguard("review", "--output", "explain", "-", stdin=denied)
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("Denied: VMSingle mon/db  (stdin:1): ")


def test_explain_says_what_is_wanted_where_nothing_would_be_changed(files):
    run = ("review", "--objects", "objects.yaml", "pod.json", "--output", "explain", "--webhook", "validate")
    _, out, err = vmguard(*run, cwd=files)
    assert "  decision    allowed, but not compliant: 13 findings" in out
    assert "  RULE              WANTED  PATH" in out
    assert out.splitlines()[-1].startswith("Summary: 1 pod: 0 would change, 1 would not")
    assert err.startswith("Warning: Pod mon/db-0: not compliant: ")


def test_what_stands_in_an_object_forges_no_line_and_steers_no_terminal():
    zone = {"name": "a\n  decision    allowed \u001b[2J", "vmsingle": {"spec": {"x": 1}}}
    parent = resource("VMDistributed", "d\u001b[31m", {"zones": [zone], "podSecurityPolicyName": "\u001b[1m"})
    _, out, err = vmguard("review", "--output", "explain", "-", stdin=parent)
    assert "\u001b" not in out + err
    assert sum("decision    allowed" in line.lstrip()[:20] for line in out.splitlines()) <= 1


def test_the_summary_names_an_owner_that_was_not_given():
    thing, objects = vmsingle()
    listed = {"apiVersion": "v1", "kind": "List", "items": [thing, *objects[1:]]}
    _, out, _ = vmguard("review", "--output", "explain", "-", stdin=listed)
    assert "its owner VMSingle mon/db is not among the objects given with the UID that the pod names" in out
    assert "not judged whole, as owners were not given: VMSingle" in out.splitlines()[-1]


def test_kubectl_output_is_judged_with_its_own_owners():
    thing, objects = vmsingle()
    listed = {"apiVersion": "v1", "kind": "List", "items": [*objects, thing]}
    status, out, err = vmguard("review", "--output", "explain", "-", stdin=listed)
    assert (status, err) == (0, "")
    assert "Summary: 1 pod: 1 would change, 0 would not; 1 resource" in out


def test_without_owners_labels_and_defaults_are_used_and_reported():
    status, out, err = vmguard("review", "--output", "patch", "-", stdin=pod())
    assert status == 0
    assert json.loads(out)
    assert err.count("Warning: Pod mon/db-0: judged by its labels and the defaults") == 1


def test_with_objects_the_chain_alone_counts(files):
    (files / "empty.json").write_text('{"apiVersion":"v1","kind":"List","items":[]}')
    _, out, _ = vmguard("review", "--objects", "empty.json", "pod.json", "--output", "patch", cwd=files)
    assert json.loads(out) == []


def test_an_object_that_owns_nothing_leaves_labels_to_judge_by(files):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "mon"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [service, pod()]}
    _, out, err = vmguard("review", "--output", "patch", "-", stdin=listed)
    assert json.loads(out)
    assert "judged by its labels" in err


def test_input_without_pods_or_resources_is_reported_and_empty_input_is_an_error():
    status, out, err = vmguard("review", "-", stdin={"apiVersion": "v1", "kind": "List", "items": []})
    assert (status, out) == (0, "")
    assert err == (
        "vmguard review: nothing to judge: - has no Pod, no resource of the operator and no AdmissionReview\n"
    )
    assert vmguard("review", "-", stdin=" \n")[::2] == (2, "stdin: empty; what was to fill it may have failed\n")


def test_the_title_of_a_review_has_the_namespace_of_its_request():
    thing = pod()
    thing["metadata"].pop("namespace")
    request = {"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE"}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    review["request"] = {**request, "namespace": "real", "object": thing}
    assert vmguard("review", "--output", "explain", "-", stdin=review)[1].startswith("Pod real/db-0  (stdin:1)")


def test_whatever_is_in_a_file_can_be_printed():
    named = pod(name="ä😀")
    status, out, _ = vmguard("review", "--output", "explain", "-", stdin=named, PYTHONIOENCODING="ascii")
    assert status == 0
    assert "ä😀" in out


def test_an_output_that_cannot_be_written_is_one_line_and_status_2(files):
    run = [sys.executable, "-m", "webhook.cli.main", "review", "pod.json"]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            run, stdout=full, stderr=subprocess.PIPE, text=True, cwd=files, env=environment(), check=False
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "vmguard: standard output: No space left on device"
    assert "Traceback" not in done.stderr


def test_closed_standard_streams_are_no_traceback(files):
    for closed, status in ((">&-", 0), ("<&-", 0), ("- <&-", 2)):
        run = ["sh", "-c", f'"{sys.executable}" -m webhook.cli.main review pod.json {closed}']
        done = subprocess.run(run, capture_output=True, text=True, cwd=files, env=environment(), check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), closed


def test_a_denial_is_status_1_and_says_why():
    cr = resource("VMSingle", spec={"podSecurityPolicyName": "gone"})
    status, _, err = vmguard("review", "--kubernetes-version", "1.24", "--output", "explain", "-", stdin=cr)
    assert status == 1
    assert (
        "Denied: VMSingle mon/db  (stdin:1): VMSingle mon/db spec.podSecurityPolicyName names PodSecurityPolicy" in err
    )


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("review", "nofile"), "", "nofile: No such file or directory"),
        (("review", "-"), "a: [", "stdin:2:1: not valid YAML"),
        (("review", "-"), '{"a": ', "stdin:1:7: not valid JSON: Input data was truncated"),
        (("review", "-"), "{}", "vmguard review: stdin:1: not a Kubernetes object: it has no kind"),
        (("review", "-", "--output", "pod", "--webhook", "validate"), "", "--output pod shows a patch"),
        (("review", "-", "--kubernetes-version", "two"), "", "'two' is no Kubernetes version"),
        (("review", "-", "--kubernetes-version", "1.٣٠"), "", "is no Kubernetes version"),
        (("review", "a\x1b[31mb"), "", "a?[31mb: No such file or directory"),
        (("review",), "", "name at least one FILE"),
        (("nonsense",), "", "invalid choice: 'nonsense'"),
        (("explain", "nonsense"), "", "no rule 'nonsense'"),
        (
            ("review", "-"),
            {"kind": "Pod", "apiVersion": "v1", "spec": {"containers": 5}},
            "spec.containers is an integer but must be an array",
        ),
        (("review", "-"), {"kind": "AdmissionReview", "apiVersion": "x"}, "AdmissionReview has no request"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, stdin, message):
    status, _, err = vmguard(*arguments, stdin=stdin)
    assert status == 2
    assert err.count("\n") == 1
    assert message in err


def test_an_error_sets_the_exit_status_before_a_denial_does():
    denied = resource("VMSingle", spec={"podSecurityPolicyName": "gone"})
    broken = {**pod(), "spec": {"containers": 5}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [pod(), denied, broken, pod()]}
    status, out, _ = vmguard("review", "-", stdin=listed)
    assert status == 2
    assert len(out.splitlines()) == 3, "every input that can be judged is"


@pytest.mark.parametrize("rule", ["security-context", "api-access", "pod-security-policy", "workload"])
def test_every_rule_explains_itself(rule):
    status, out, _ = vmguard("explain", rule)
    assert status == 0
    assert len(out) > 200
