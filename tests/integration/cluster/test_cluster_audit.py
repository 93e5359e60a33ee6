"""`vmguard audit` on a real API server: what it predicts is what is stored once vmguard is installed."""

import itertools
import json
import shlex

import pytest
import yaml

from bench.cel_policy import strict_policy
from tests.controlplane.api import wait_for
from tests.controlplane.plane import ControlPlane
from tests.controlplane.registration import LABEL
from tests.controlplane.stand_in_operator import recreate
from tests.support.accounts import READ, granted
from tests.support.applied_commands import commanded
from tests.support.command import vmguard
from tests.support.documentation import shell_lines
from tests.support.flawed_resources import SAMPLES
from tests.support.golden import CASES, for_version, projection
from tests.support.injector import add_container, injecting, registration
from tests.support.server import ROOT
from webhook.policy.custom_resources import BY_KIND, GROUP

_COUNT = itertools.count(1)

_STRICT = [case for case in CASES if case.category == "strict" and case.request["kind"]["kind"] == "Pod"]
WORKLOADS = list({case.kind: case for case in reversed(_STRICT)}.values())
"""One recorded workload of each kind, from an operator without security settings."""


def unused(prefix: str) -> str:
    """A name that nothing else has."""
    return f"{prefix}{next(_COUNT)}"


def audited(plane: ControlPlane, *arguments: str, user: str = "") -> tuple[int, dict]:
    """Exit status and report of an audit."""
    kubeconfig = plane.kubeconfig(user) if user else plane.kubeconfig()
    status, out, err = vmguard("audit", "--kubeconfig", kubeconfig, "-o", "json", *arguments)
    assert out, err
    return status, json.loads(out)


@pytest.mark.parametrize("version", ["1.37", "1.24"])
def test_the_predicted_pods_are_those_that_are_stored_afterwards(version, request):
    plane = request.getfixturevalue("plane" if version == "1.37" else "plane_124")
    guarding = request.getfixturevalue("guard" if version == "1.37" else "guard_124")()
    cases = [for_version(case, version) for case in WORKLOADS]
    made = {plane.namespace(unused("audited-")): case for case in cases}
    before = {namespace: recreate(case, plane.api, namespace).pod() for namespace, case in made.items()}
    status, report = audited(plane, *(f"--namespace={namespace}" for namespace in made), "--fail-on=never")
    assert (status, report["complete"]) == (0, True), report["notJudged"] or report["missing"]
    running = {each["namespace"]: each for each in report["workloads"] if each["pods"]}
    assert set(running) == set(made)
    for namespace in made:
        plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {LABEL: guarding.label}}})
    for namespace, case in made.items():
        stored = _restarted(plane, before[namespace], namespace)
        predicted = running[namespace]["predicted"]
        assert projection(stored) == projection(predicted), case.path.name
        outcome = guarding.decisions(namespace)[-1]["outcome"]
        assert (outcome == "patched") is bool(running[namespace]["changes"])
    status, report = audited(plane, *(f"--namespace={namespace}" for namespace in made))
    assert {each["verdict"] for each in report["workloads"] if each["pods"]} <= {"ok", "CHECK"}
    assert not [each for each in report["workloads"] if each["pods"] and each["changes"]]
    for namespace in made:
        plane.api.delete("v1", "Namespace", namespace)


def _restarted(plane, pod, namespace):
    """The new pod after a pod was deleted."""
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    plane.api.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", gracePeriodSeconds="0")

    def again():
        found = plane.api.list("v1", "Pod", namespace)
        return [
            each for each in found if each["metadata"]["uid"] != uid and "deletionTimestamp" not in each["metadata"]
        ]

    return wait_for(again, f"a new pod in {namespace}")[0]


def test_an_audit_only_gets_and_lists(plane):
    namespace = plane.namespace(unused("read-only-"))
    recreate(WORKLOADS[0], plane.api, namespace).pod()
    user = unused("auditor-")
    granted(plane, user, [READ])
    status, report = audited(plane, "-n", namespace, "--fail-on=never", user=user)
    assert (status, report["complete"]) == (0, True)
    assert report["summary"]["pods"] == 1
    assert not [event for event in plane.audit() if event["user"]["username"] == user]


def test_two_audits_of_an_unchanged_cluster_differ_in_one_line(plane):
    namespace = plane.namespace(unused("unchanged-"))
    recreate(WORKLOADS[1], plane.api, namespace).pod()
    outs = [vmguard("audit", "--kubeconfig", plane.kubeconfig(), "-n", namespace, "-o", "json")[1] for _ in range(2)]
    first, second = (text.splitlines() for text in outs)
    differing = [one for one, other in zip(first, second, strict=True) if one != other]
    assert [line.split('"')[1] for line in differing] in ([], ["createdAt"])


def test_with_a_role_for_one_namespace_the_other_is_not_judged_and_the_printed_rule_works(plane):
    mine, other = plane.namespace(unused("mine-")), plane.namespace(unused("other-"))
    for namespace in (mine, other):
        recreate(WORKLOADS[0], plane.api, namespace).pod()
    user = unused("tenant-")
    granted(plane, user, [READ], mine)
    namespaces = ("-n", mine, "-n", other, "--fail-on=never")
    status, report = audited(plane, *namespaces, user=user)
    assert (status, report["complete"], report["summary"]["pods"]) == (2, False, 1)
    lacking = [each for each in report["missing"] if each["namespace"] == other]
    assert {each["namespace"] for each in report["missing"]} == {other}
    assert any("may not list pods" in each["what"] for each in lacking)
    rules = [yaml.safe_load(each["rule"]) for each in lacking]
    reads = [{**rule, "verbs": ["get", "list"]} for rule in rules]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": user}}
    plane.api.create({**role, "kind": "Role", "rules": reads}, other)
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user}
    plane.api.create({**role, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}, other)
    status, report = audited(plane, *namespaces, user=user)
    assert (status, report["complete"], report["summary"]["pods"]) == (0, True, 2), report["missing"]
    unread, *more = _unread_labels(report)
    assert all(other in each["text"] for each in (unread, *more)), more
    assert not [each for each in report["namespaces"] if each["name"] == other and each["coverage"] != "unknown"]
    plane.api.patch(
        "rbac.authorization.k8s.io/v1", "Role", user, {"rules": [*reads, yaml.safe_load(unread["fix"])]}, other
    )
    assert not _unread_labels(audited(plane, *namespaces, user=user)[1])


def _unread_labels(report):
    """What is not known because the labels of a namespace are not."""
    found = [each for row in report["workloads"] for each in row["findings"]]
    return [each for each in found if each["text"].startswith("the labels of namespace")]


def test_the_names_of_a_redacted_report_are_hashes(plane):
    namespace, other = plane.namespace(unused("secret-name-")), plane.namespace(unused("secret-other-"))
    pod = recreate(WORKLOADS[0], plane.api, namespace).pod()
    user = unused("secret-user-")
    granted(plane, user, [READ], namespace)
    place = ("--kubeconfig", plane.kubeconfig(user), "-n", namespace, "-n", other)
    plain = vmguard("audit", *place, "-o", "json")[1]
    assert all(name in plain for name in (namespace, other, user))
    for output in ("table", "wide", "json", "diff", "html"):
        _, out, _ = vmguard("audit", *place, "-o", output, "--redact")
        assert not [name for name in (namespace, other, user, pod["metadata"]["name"]) if name in out]
        assert "vmguard" in out or "→" in out or "#" in out


def _created(plane, namespace, kind, name, spec):
    """A new resource of the operator."""
    version = f"{GROUP}/{BY_KIND[kind].storage}"
    return plane.api.create({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}, namespace)


def _spec(plane, namespace, made):
    return plane.api.get(made["apiVersion"], made["kind"], made["metadata"]["name"], namespace)["spec"]


def _findings(plane, namespace):
    """The findings with a command, by kind and name of the resource that the command is for."""
    _, report = audited(plane, "-n", namespace, "--fail-on=never")
    found = {}
    for finding in (finding for row in report["workloads"] for finding in row["findings"] if finding["command"]):
        _, _, _, _, kind, name, *_ = shlex.split(finding["command"])
        found.setdefault((kind, name), {})[finding["id"], finding["text"]] = finding["command"]
    return found


def test_each_printed_command_makes_its_finding_go_away(plane):
    """kubectl runs it as printed, and the unit tests' own patches give what the API server makes of it."""
    namespace = plane.namespace(unused("commands-"))
    made = {}
    for number, (kind, spec) in enumerate(SAMPLES.values()):
        made[f"s{number}"] = _created(plane, namespace, kind, f"s{number}", spec)
    before = _findings(plane, namespace)
    forms = set()
    for (_, name), commands in before.items():
        for command in commands.values():
            words = shlex.split(command)[1:]
            done = plane.kubectl(*words, "--dry-run=server", "-o", "json")
            assert done.returncode == 0, f"{command}: {done.stderr}"
            assert json.loads(done.stdout)["spec"] == commanded(made[name], command)["spec"]
            forms.add(words[words.index("--type") + 1])
    assert forms == {"merge", "json"}
    chosen = {place: next(iter(commands.items())) for place, commands in before.items()}
    for (_, name), (_, command) in chosen.items():
        done = plane.kubectl(*shlex.split(command)[1:])
        assert done.returncode == 0, f"{command}: {done.stderr}"
        written = _spec(plane, namespace, made[name])
        plane.kubectl(*shlex.split(command)[1:])
        assert _spec(plane, namespace, made[name]) == written, "a second run changes nothing"
    after = _findings(plane, namespace)
    for place, (finding, command) in chosen.items():
        assert finding not in after.get(place, {}), command


def test_a_command_that_comes_too_late_changes_nothing(plane):
    namespace = plane.namespace(unused("late-"))
    thing = _created(plane, namespace, "VMSingle", "db", {"containers": [{"name": "side", "image": "x"}]})
    (commands,) = _findings(plane, namespace).values()
    command = next(iter(commands.values()))
    own = {"containers": [{"name": "side", "image": "x", "securityContext": {"runAsUser": 5}}]}
    written = plane.api.patch(thing["apiVersion"], "VMSingle", "db", {"spec": own}, namespace)
    done = plane.kubectl(*shlex.split(command)[1:])
    assert done.returncode == 1
    assert done.stderr.startswith("The request is invalid"), "docs/audit.md quotes it"
    assert plane.api.get(thing["apiVersion"], "VMSingle", "db", namespace)["spec"] == written["spec"]


def test_the_template_of_a_controller_without_pods_counts(plane, tmp_path):
    """It is read by itself and saved; without the right to get it, the resource counts and the right is named."""
    namespace = plane.namespace(unused("scaled-"))
    case = next(case for case in WORKLOADS if case.kind == "VMSingle")
    made = recreate(case, plane.api, namespace)
    made.pod()
    name = made.one("Deployment")["metadata"]["name"]
    changed = {"spec": {"replicas": 0, "template": {"spec": {"hostNetwork": True}}}}
    plane.api.patch("apps/v1", "Deployment", name, changed, namespace)
    wait_for(lambda: not plane.api.list("v1", "Pod", namespace), "the pods to be gone")
    file, user = tmp_path / "objects.json", unused("lister-")
    _, report = audited(plane, "-n", namespace, "--save", str(file))
    (row,) = report["workloads"]
    assert (row["pods"], row["basedOn"], row["levelNow"]) == (0, "template", "privileged")
    assert row["changes"]
    assert json.loads(vmguard("audit", "--from", file, "-o", "json")[1])["workloads"] == report["workloads"]
    granted(plane, user, [{**READ, "verbs": ["list"]}])
    status, report = audited(plane, "-n", namespace, user=user)
    assert (status, report["workloads"][0]["basedOn"]) == (2, "resource")
    assert any("may not get deployments" in each["what"] for each in report["missing"]), report["missing"]


def test_saved_objects_give_the_same_report(plane, tmp_path):
    namespace = plane.namespace(unused("saved-"))
    recreate(WORKLOADS[2], plane.api, namespace).pod()
    file = tmp_path / "objects.json"
    _, live = audited(plane, "-n", namespace, "--save", str(file))
    _, out, err = vmguard("audit", "--from", file, "-o", "json")
    assert out, err
    saved = json.loads(out)
    assert saved["workloads"] == live["workloads"]
    assert saved["clusters"] == live["clusters"]
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    two = vmguard("audit", "--from", file, "--from", file)[1]
    assert two.startswith("CLUSTER")


@pytest.mark.parametrize("page", ["docs/audit.md", "docs/tutorial.md"])
def test_the_commands_of_a_page_work_as_printed(plane, tmp_path, page):
    """A finding of another test's pod may fail an audit, which is what status 1 and 2 are for."""
    lines = [line for line in shell_lines((ROOT / page).read_text()) if line.startswith("vmguard audit")]
    assert lines
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for line in lines:
        status, out, err = vmguard(*line.split()[1:], cwd=tmp_path, KUBECONFIG=str(plane.kubeconfig()))
        assert status in {0, 1, 2}
        assert "Usage" not in err
        assert out or (tmp_path / "report.html").stat().st_size


def test_the_printed_role_suffices(plane):
    namespace = plane.namespace(unused("role-"))
    recreate(WORKLOADS[0], plane.api, namespace).pod()
    status, printed, _ = vmguard("manifests", "--role", "audit")
    assert status == 0
    user = unused("reader-")
    granted(plane, user, yaml.safe_load(printed)["rules"])
    status, report = audited(plane, "-n", namespace, "--fail-on=never", user=user)
    assert (status, report["missing"], report["summary"]["pods"]) == (0, [], 1)


def test_what_another_webhook_changes_is_unknown_until_it_is_verified(plane, tmp_path):
    label = unused("mesh-")
    namespace = plane.namespace(unused("foreign-"), {LABEL: label})
    recreate(WORKLOADS[0], plane.api, namespace).pod()
    name = unused("proxy-")
    with injecting(tmp_path, add_container) as (base, ca):
        plane.api.create(registration(name, base, ca, label))
        try:
            _, report = audited(plane, "-n", namespace, "--fail-on=never")
            (row,) = [each for each in report["workloads"] if each["pods"]]
            assert [each["id"] for each in row["findings"] if each["verdict"] == "unknown"] == ["admission"]
            assert row["verdict"] not in {"ok", "changes"}
            _, report = audited(plane, "-n", namespace, "--fail-on=never", "--verify")
            (row,) = [each for each in report["workloads"] if each["pods"]]
            (finding,) = [each for each in row["findings"] if each["id"] == "admission"]
            assert finding["verdict"] == "CHECK"
            assert "/spec/containers/" in finding["text"]
        finally:
            plane.api.delete("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", name)


def test_what_a_policy_of_others_changes_is_unknown(plane):
    label = unused("policy-")
    namespace, other = plane.namespace(unused("changed-"), {LABEL: label}), plane.namespace(unused("left-alone-"))
    for each in (namespace, other):
        recreate(WORKLOADS[0], plane.api, each).pod()
    policy, binding = strict_policy()
    policy["spec"]["matchConstraints"]["namespaceSelector"] = {"matchLabels": {LABEL: label}}
    for each in (policy, binding):
        each["metadata"] = {"name": label}
    binding["spec"]["policyName"] = label
    made = [plane.api.create(each) for each in (policy, binding)]
    try:
        _, report = audited(plane, "-n", namespace, "-n", other, "--fail-on=never")
    finally:
        for each in made:
            plane.api.delete(each["apiVersion"], each["kind"], label)
    found = {
        row["namespace"]: [each["text"] for each in row["findings"] if each["verdict"] == "unknown"]
        for row in report["workloads"]
        if row["pods"]
    }
    assert found[other] == []
    (text,) = found[namespace]
    assert f"policy {label}" in text


def test_a_namespace_that_would_refuse_the_pod_is_denied_with_verify(plane):
    namespace = plane.namespace(unused("refusing-"))
    case = next(each for each in CASES if each.category == "strict" and each.kind == "VLAgent")
    recreate(case, plane.api, namespace).pod()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": labels}})
    _, report = audited(plane, "-n", namespace, "--fail-on=never", "--verify", "--set", "VM_ENABLESTRICTSECURITY=false")
    row = next(each for each in report["workloads"] if each["pods"])
    assert row["verdict"] == "DENIED"
    assert "violates PodSecurity" in row["firstReason"]
