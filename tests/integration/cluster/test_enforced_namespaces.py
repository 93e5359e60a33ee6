"""A real API server refuses weak pods in namespaces that enforce deny, whatever weakens them, and under load."""

import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.registration import LABEL as NAMESPACE_OF_TEST
from tests.controlplane.registration import registered
from tests.support.accounts import Account
from tests.support.admission_pods import STRICT_SECURITY, failed_create, weak_pod
from tests.support.injector import (
    injecting,
    make_privileged,
    make_privileged_at_last,
    mount_token_at_last,
    registration,
    weaken_at_last,
)
from tests.support.server import free_port, serving_cluster
from webhook.policy.custom_resources import GROUP
from webhook.policy.enforcement import EXEMPT, LABEL, MODE_LABEL, OLD_LABEL

NOT_COMPLIANT = "not compliant: spec.containers[0].securityContext.privileged is true"


@pytest.fixture
def guarding(guard):
    return guard(**STRICT_SECURITY)


def _created(plane, pod, namespace):
    """The message of the API server's refusal, "" where it admits the pod."""
    try:
        plane.api.create(pod, namespace, dryRun="All")
    except ApiError as error:
        return str(error)
    return ""


def _denied_by(entry):
    return f'admission webhook "{entry}.vmguard.io" denied the request: {NOT_COMPLIANT}'


@contextmanager
def _later_webhook(plane, guarding, folder, mutate, changed=None):
    """A mutating webhook that the API server calls after vmguard, until the end of the block.

    It is there when the API server changes a pod; `changed` tells such a pod, and is by default `_is_privileged`.
    """
    with injecting(folder, mutate) as (base, ca):
        made = plane.api.create(registration(f"z-{guarding.label}", base, ca, guarding.label))
        try:
            probe = guarding.namespace()
            pod = weak_pod(plane, probe, privileged=False)
            wait_for(
                lambda: (changed or _is_privileged)(plane.api.create(pod, probe, dryRun="All")), "the later webhook"
            )
            yield
        finally:
            plane.api.delete(made["apiVersion"], made["kind"], made["metadata"]["name"])


def _is_filled(pod):
    return pod["spec"]["securityContext"].get("runAsNonRoot") is True


def _is_privileged(pod):
    return pod["spec"]["containers"][0].get("securityContext", {}).get("privileged")


@pytest.mark.parametrize("label", [LABEL, OLD_LABEL])
def test_mutate_denies_a_pod_that_filling_cannot_repair(plane, guarding, label):
    """The denial is in the API server's audit log, in vmguard's log and metrics, and in an event of the pod's owner."""
    namespace = guarding.namespace(**{label: "deny"})
    entry = {LABEL: "pods-under-deny", OLD_LABEL: "pods-under-deny-old-label"}[label]
    pod = weak_pod(plane, namespace)
    assert _denied_by(entry) in _created(plane, pod, namespace)
    path = "/spec/containers/0/securityContext/privileged"
    wanted = {"rule": "security-context", "path": path, "wanted": False, "found": True}
    assert wanted in guarding.findings(namespace, "weak")
    (line,) = (line for line in guarding.decisions(namespace) if line["name"] == "weak")
    assert (line["webhook"], line["outcome"], line["level"]) == ("mutate", "denied", "warning")
    counter = 'vmguard_admission_requests_total{outcome="denied",webhook="mutate"}'
    assert counter in guarding.server.operation("/metrics")[1]
    template = {"metadata": {"labels": {"app": "weak", **pod["metadata"]["labels"]}}, "spec": pod["spec"]}
    (replicas,) = plane.api.list("apps/v1", "ReplicaSet", namespace)
    spec = {"selector": {"matchLabels": {"app": "weak"}}, "serviceName": "weak", "template": template}
    meta = {"name": "weak", "ownerReferences": _of_resource(plane, replicas, namespace)}
    plane.api.create({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}, namespace)
    assert NOT_COMPLIANT in failed_create(plane, namespace, _denied_by(entry))


def _of_resource(plane, replicas, namespace):
    """The owner reference that leads from a ReplicaSet's Deployment to its resource."""
    (reference,) = replicas["metadata"]["ownerReferences"]
    deployment = plane.api.get("apps/v1", "Deployment", reference["name"], namespace)
    return deployment["metadata"]["ownerReferences"]


@pytest.mark.parametrize(
    ("mutate", "entry", "webhook"),
    [(make_privileged, "pods-under-deny", "mutate"), (make_privileged_at_last, "enforced-pods", "validate")],
    ids=["before reinvocation", "after reinvocation"],
)
def test_a_later_webhook_gets_no_privileged_pod_admitted(plane, guarding, tmp_path, mutate, entry, webhook):
    """Where the reinvocation of vmguard is too early, the validating entry denies. Without the label neither does."""
    namespace, other = guarding.namespace(**{LABEL: "deny"}), guarding.namespace()
    with _later_webhook(plane, guarding, tmp_path, mutate):
        refusal = _created(plane, weak_pod(plane, namespace, privileged=False), namespace)
        assert _denied_by(entry) in refusal
        assert _created(plane, weak_pod(plane, other, privileged=False), other) == ""
    assert "privileged" in {each["path"].rpartition("/")[2] for each in guarding.findings(namespace, "weak")}
    last = [line for line in guarding.decisions(namespace) if line["name"] == "weak"][-1]
    assert (last["webhook"], last["outcome"], last["level"]) == (webhook, "denied", "warning")


OWN_CONTEXT = {"securityContext": {"runAsUser": 1000, "runAsNonRoot": True, "privileged": False}}
LIMITED_ACCESS = {"disableAutomountServiceAccountToken": True}


@pytest.mark.parametrize(
    ("resource_spec", "mutate", "path"),
    [
        (OWN_CONTEXT, weaken_at_last, "/spec/containers/0/securityContext/privileged"),
        (OWN_CONTEXT, weaken_at_last, "/spec/containers/0/securityContext/capabilities/add"),
        (LIMITED_ACCESS, mount_token_at_last, "/spec/containers/0/volumeMounts/0/name"),
    ],
    ids=["set by the resource", "left unset by the resource", "token"],
)
def test_a_later_webhook_gets_no_pod_admitted_that_is_weaker_than_its_resource(
    plane, guarding, tmp_path, resource_spec, mutate, path
):
    """The resource has its own security context, or limits API access. Without the webhook the pod is admitted."""
    namespace = guarding.namespace(**{LABEL: "deny"})
    pod = weak_pod(plane, namespace, privileged=False)
    (resource,) = plane.api.list(f"{GROUP}/v1beta1", "VMSingle", namespace)
    name = resource["metadata"]["name"]
    plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", name, {"spec": resource_spec}, namespace)
    # the first call fills by what the watch has reported; the second one reads the resource before it denies
    wait_for(lambda: _created(plane, pod, namespace) == "", "the change of the resource")
    with _later_webhook(plane, guarding, tmp_path, mutate, changed=_was_seen):
        assert 'admission webhook "enforced-pods.vmguard.io" denied' in _created(plane, pod, namespace)
    assert path in {each["path"] for each in guarding.findings(namespace, "weak")}


def _was_seen(pod):
    return "example.com/seen" in pod["metadata"].get("annotations", {})


def test_a_flood_of_previews_gets_no_privileged_pod_admitted(plane, guarding, tmp_path):
    """A tenant keeps vmguard busy with large resources; a webhook that is too slow refuses the pods of deny."""
    namespace, attackers = guarding.namespace(**{LABEL: "deny"}), guarding.namespace()
    pod = weak_pod(plane, namespace, privileged=False)
    done = threading.Event()
    with _later_webhook(plane, guarding, tmp_path, make_privileged_at_last):
        apis = [plane.api_as("admin", ("system:masters",)) for _ in range(12)]
        threads = [threading.Thread(target=_flood, args=(api, attackers, done)) for api in apis]
        for thread in threads:
            thread.start()
        try:
            refusals = [_created(plane, pod, namespace) for _ in range(6)]
        finally:
            done.set()
            for thread in threads:
                thread.join()
    for refusal in refusals:
        assert "denied the request: not compliant" in refusal or "failed calling webhook" in refusal


def _flood(api, namespace, done):
    """Dry runs of a resource with very many different pods, one after the other."""

    def part(name):
        volumes = [{"name": f"{name}-{n}", "emptyDir": {}} for n in range(3)]
        return {"volumes": volumes, "containers": [{"name": f"{name}-{n}", "image": "x"} for n in range(4)]}

    components = ("vmselect", "vminsert", "vmstorage")
    zones = [
        {"name": f"z{n}", "vmcluster": {"spec": {name: part(f"{name}{n}") for name in components}}} for n in range(20)
    ]
    thing = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "VMDistributed",
        "metadata": {"name": "flood"},
        "spec": {"zones": zones},
    }
    while not done.is_set():
        _ignoring_refusals(lambda: api.create(thing, namespace, dryRun="All"))
    api.close()


def _ignoring_refusals(request):
    try:
        request()
    except ApiError:
        return


@pytest.mark.parametrize(
    ("new", "old", "entry"),
    [
        (None, None, None),
        ("warn", None, None),
        (None, "off", None),
        ("deny", "warn", "pods-under-deny"),
        ("warn", "deny", "pods-under-deny-old-label"),
        ("deny", "deny", "pods-under-deny"),
        ("dney", None, "pods"),
        ("warn", "", "pods"),
    ],
)
def test_the_stricter_label_counts_and_an_unknown_value_is_deny(plane, guarding, new, old, entry):
    labels = {label: value for label, value in ((LABEL, new), (OLD_LABEL, old)) if value is not None}
    namespace = guarding.namespace(**labels)
    weak = weak_pod(plane, namespace)
    refusal = _created(plane, weak, namespace)
    assert (_denied_by(entry) in refusal) if entry else (refusal == "")
    assert _created(plane, weak_pod(plane, namespace, privileged=False), namespace) == ""
    if entry != "pods":
        return
    wrong = f"{LABEL}=dney" if new == "dney" else f"{OLD_LABEL}="
    assert f"the namespace label {wrong} counts as deny" in refusal
    reported = [line for line in guarding.server.lines() if line["message"] == "namespace label not known"]
    assert wrong in next(line["reason"] for line in reported if line["namespace"] == namespace)
    note = f"[!]namespace {namespace} the namespace label {wrong} counts as deny"
    assert note in guarding.server.operation("/readyz?verbose")[1]
    corrected = {"metadata": {"labels": {LABEL: "deny", OLD_LABEL: "deny"}}}
    plane.api.patch("v1", "Namespace", namespace, corrected)
    wait_for(lambda: note not in guarding.server.operation("/readyz?verbose")[1], "the note to end")


def test_a_mode_that_has_no_effect_is_reported(guarding):
    namespace = guarding.namespace(**{MODE_LABEL: "enforced"})
    note = f"[!]namespace {namespace} the namespace label {MODE_LABEL}=enforced has no effect"
    wait_for(lambda: note in guarding.server.operation("/readyz?verbose")[1], "the note")
    reported = [line for line in guarding.server.lines() if line["message"] == "namespace label not known"]
    assert namespace in {line["namespace"] for line in reported}


def test_an_exempt_namespace_is_left_alone(plane, guarding):
    """The API server calls no entry for it: no pod is filled or denied, and no resource is denied."""
    namespace = guarding.namespace(**{LABEL: "deny"})
    weak, fillable = (weak_pod(plane, namespace, privileged=privileged) for privileged in (True, False))
    single = {"apiVersion": f"{GROUP}/v1beta1", "kind": "VMSingle", "metadata": {"name": "named"}}
    single["spec"] = {"podSecurityPolicyName": "there-is-none"}
    assert _created(plane, weak, namespace)
    assert _created(plane, single, namespace)
    plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {EXEMPT: "true"}}})
    wait_for(lambda: not _created(plane, weak, namespace), "the label to be learnt")
    assert _created(plane, single, namespace) == ""
    assert not _is_filled(plane.api.create(fillable, namespace, dryRun="All"))
    plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {EXEMPT: "yes"}}})
    wait_for(lambda: _created(plane, weak, namespace), "another value to be learnt")
    assert _created(plane, single, namespace)


def test_a_label_that_is_taken_off_denies_no_longer(plane, guarding):
    namespace = guarding.namespace(**{LABEL: "deny"})
    pod = weak_pod(plane, namespace)
    assert _created(plane, pod, namespace)
    plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {LABEL: None}}})
    wait_for(lambda: not _created(plane, pod, namespace), "the label to be forgotten")
    plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {LABEL: "deny"}}})
    wait_for(lambda: _created(plane, pod, namespace), "the label to be learnt")


@contextmanager
def _watching_one_namespace(plane, folder, *taken):
    """A namespace, and a registered vmguard that has a Role in it and nothing else, without the permissions `taken`."""
    label = folder.name
    namespace = plane.namespace(label, {NAMESPACE_OF_TEST: label})
    account = Account(plane, namespace).lack(*taken)
    settings = {"WATCH_NAMESPACE": namespace, "POD_NAMESPACE": namespace, **STRICT_SECURITY}
    with (
        serving_cluster(folder, account.kubeconfig, **settings) as server,
        registered(plane, server.url, Path(server.ca).read_bytes(), label, wait=False),
    ):
        fillable = weak_pod(plane, namespace, privileged=False)
        wait_for(lambda: _is_filled(plane.api.create(fillable, namespace, dryRun="All")), "the webhook to be called")
        yield namespace, server


@pytest.fixture
def folder(tmp_path, request):
    """A folder whose name can be a namespace's."""
    made = tmp_path / f"one-{abs(hash(request.node.name)) % 10**6}"
    made.mkdir()
    return made


@pytest.mark.parametrize("label", [LABEL, OLD_LABEL])
@pytest.mark.parametrize("taken", [(), ("get namespaces",)], ids=["may read it", "may not read it"])
def test_with_watch_namespace_the_label_is_known_by_the_path(plane, folder, label, taken):
    """No permission on Namespaces is needed."""
    with _watching_one_namespace(plane, folder, *taken) as (namespace, server):
        weak, fillable = (weak_pod(plane, namespace, privileged=privileged) for privileged in (True, False))
        plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {label: "deny"}}})
        entry = {LABEL: "pods-under-deny", OLD_LABEL: "pods-under-deny-old-label"}[label]
        wait_for(lambda: _denied_by(entry) in _created(plane, weak, namespace), "the label to be learnt")
        assert _created(plane, fillable, namespace) == ""
        assert "Namespace" not in [line for line in server.lines() if line["message"] == "admission"][-1]["facts"]


def test_with_watch_namespace_a_role_that_may_get_the_namespace_is_enough_for_its_labels(plane, folder):
    """The API server authorizes a GET of a Namespace as a request in that namespace."""
    with _watching_one_namespace(plane, folder) as (namespace, server):
        pod = weak_pod(plane, namespace)
        assert _created(plane, pod, namespace) == ""
        facts = [line for line in server.lines() if line["message"] == "admission" and line["name"] == "weak"][-1][
            "facts"
        ]
        assert "Namespace=found/live" in facts
        plane.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {LABEL: "dney"}}})
        wait_for(lambda: _created(plane, pod, namespace), "the label to be learnt")
        assert f"the namespace label {LABEL}=dney counts as deny" in _created(plane, pod, namespace)


def test_with_watch_namespace_and_no_permission_a_weak_pod_is_refused_and_the_rule_is_named(plane, folder):
    """A Namespace that cannot be read does not count as unlabelled; a pod that is filled needs no label."""
    with _watching_one_namespace(plane, folder, "get namespaces") as (namespace, server):
        refusal = _created(plane, weak_pod(plane, namespace), namespace)
        assert f"vmguard does not know whether namespace {namespace} enforces deny: may not get namespaces" in refusal
        assert f"-watch in namespace {namespace} the rule" in refusal
        assert "kubectl" not in refusal, "its Event would end within the command"
        (note,) = (line for line in server.operation("/readyz?verbose")[1].splitlines() if "]get namespaces" in line)
        assert note.startswith(f"[!]get namespaces {namespace} may not get")
        assert f" --namespace {namespace} --type json --patch '" in note
        assert _created(plane, weak_pod(plane, namespace, privileged=False), namespace) == ""


def test_while_vmguard_is_down_the_pods_of_deny_are_refused_and_those_of_ignore_are_not(plane):
    label = "down-enforced"
    enforced, by_old_label, other = (
        plane.namespace(f"{label}-{number}", {NAMESPACE_OF_TEST: label, **labels})
        for number, labels in enumerate(({LABEL: "deny"}, {OLD_LABEL: "deny"}, {}))
    )
    pods = {name: weak_pod(plane, name, privileged=False) for name in (enforced, by_old_label, other)}
    url = f"https://localhost:{free_port()}"
    with registered(plane, url, b"", label, failure_policies={"pods.vmguard.io": "Ignore"}, wait=False):
        for namespace in (enforced, by_old_label):
            wait_for(
                lambda namespace=namespace: _created(plane, pods[namespace], namespace), "the webhook to be called"
            )
            assert "failed calling webhook" in _created(plane, pods[namespace], namespace)
        assert _created(plane, pods[other], other) == ""


def test_where_every_namespace_enforces_deny_labels_are_not_needed(plane, guarding):
    label = "all-enforced"
    namespace = plane.namespace(label, {NAMESPACE_OF_TEST: label})
    weak, fillable = (weak_pod(plane, namespace, privileged=privileged) for privileged in (True, False))
    server = guarding.server
    with registered(plane, server.url, Path(server.ca).read_bytes(), label, enforce_deny=True):
        assert _denied_by("pods") in _created(plane, weak, namespace)
        assert _created(plane, fillable, namespace) == ""
