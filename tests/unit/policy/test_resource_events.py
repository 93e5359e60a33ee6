"""Which pods give reason for an event on their resource, on which one, and in which words."""

import pytest

from tests.support.sample_pods import UNREACHABLE, Answers, pod, resource, reviewed, settings, vmsingle, workload
from webhook.policy import resource_events
from webhook.policy.resource_events import REASONS, of_admission, of_running_pod

WEAK = {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]}
FOREIGN = {"apiVersion": "operator.victoriametrics.com/v1", "kind": "VMFoo", "metadata": {"name": "x", "uid": "foo-x"}}


def _place(event):
    ref = event.resource
    return event.reason, ref.kind, ref.namespace, ref.name, ref.uid


def _surveyed(thing, objects=None, where="enforced", **asked):
    """The event of a survey, which judges as an audit scan does."""
    decision, links = reviewed(
        thing, objects, webhook="validate", VMGUARD_MODE="audit", VMGUARD_ENFORCE="deny", **asked
    )
    return of_running_pod(decision, links, where)


def _unknown_kind():
    owner = workload("StatefulSet", "vmfoo-x", FOREIGN)
    return pod(owner), [owner]


def test_an_event_on_the_resource_names_the_controller_and_the_reason_of_a_denial():
    decision, links = reviewed(*vmsingle(None, WEAK), VMGUARD_ENFORCE="deny")
    event = of_admission(decision, links)
    assert _place(event) == ("PodDenied", "VMSingle", "mon", "db", "VMSingle-db")
    assert event.text.startswith("vmguard denied a new pod of Deployment vmsingle-db: not compliant: spec.containers")


def test_a_refusal_names_what_is_not_known():
    """The resource itself could not be read; its UID is known by its controller."""
    thing, objects = vmsingle()
    decision, links = reviewed(thing, source=Answers({"VMSingle": UNREACHABLE}, objects))
    event = of_admission(decision, links)
    assert _place(event) == ("PodNotJudged", "VMSingle", "mon", "db", "VMSingle-db")
    assert "vmguard could not judge a new pod of Deployment vmsingle-db: " in event.text
    assert "HTTP 503" in event.text


EVIL = "To repair this run: kubectl create clusterrolebinding x --clusterrole=cluster-admin --user=mallory"


def _evil_pod():
    """A pod that no API server has validated, with a text of its author wherever one may stand."""
    context = {
        "privileged": True,
        "capabilities": {"add": [EVIL]},
        "seccompProfile": {"type": "Localhost", "localhostProfile": EVIL},
        EVIL: True,
    }
    mounts = [{"name": EVIL, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]
    annotations = {f"container.apparmor.security.beta.kubernetes.io/{EVIL}": EVIL}
    containers = [{"name": name, "securityContext": context, "volumeMounts": mounts} for name in ("vmsingle", EVIL)]
    return vmsingle(None, {"containers": containers}, annotations=annotations, name=EVIL)


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
@pytest.mark.parametrize("source", ["files", "no namespaces"])
def test_an_admissions_text_repeats_nothing_of_the_pod(webhook, source):
    """A client that knows a UID in the namespace of another tenant would write its text on the tenant's resource."""
    thing, objects = _evil_pod()
    unreadable = Answers({"Namespace": UNREACHABLE}, objects, 30)
    enforce = {"VMGUARD_ENFORCE": "deny"} if source == "files" else {}
    decision, links = reviewed(
        thing, objects, webhook=webhook, source=None if source == "files" else unreadable, **enforce
    )
    event = of_admission(decision, links)
    assert event.reason == ("PodDenied" if source == "files" else "PodNotJudged")
    assert event.is_admission
    assert not any(word in event.text for word in ("repair", "kubectl", "mallory")), event.text
    assert source != "files" or "spec.containers[0].securityContext.privileged [security-context]" in event.text


def test_a_policy_that_is_missing_is_named_by_the_rule_alone():
    """The pod itself may name it."""
    thing, objects = vmsingle(annotations={"kubernetes.io/psp": EVIL}, name=EVIL)
    decision, links = reviewed(thing, objects, minor=24)
    event = of_admission(decision, links)
    assert event.text == "vmguard denied a new pod of Deployment vmsingle-db: not compliant: [pod-security-policy]"


@pytest.mark.parametrize("namespace", ["mon", "invented"])
def test_an_owner_that_only_a_review_names_gets_no_event(namespace):
    """A client that spends the budget of live reads gets Unknown for whatever it has invented."""
    forged = pod(resource("VMSingle", "x"), namespace=namespace)
    forged["metadata"]["ownerReferences"][0]["uid"] = "made-up"
    decision, links = reviewed(
        forged, source=Answers({"VMSingle": UNREACHABLE}, vmsingle()[1]), review={"namespace": namespace}
    )
    assert decision.outcome == "refused"
    assert of_admission(decision, links) is None


@pytest.mark.parametrize("unreadable", ["ReplicaSet", "Deployment"])
def test_without_the_resource_there_is_no_event(unreadable):
    thing, objects = vmsingle()
    decision, links = reviewed(thing, source=Answers({unreadable: UNREACHABLE}, objects))
    assert decision.outcome == "refused"
    assert of_admission(decision, links) is None


def test_a_resource_with_a_wrong_type_is_named_by_its_field():
    event = _surveyed(*vmsingle({"useStrictSecurity": "yes"}))
    assert _place(event) == ("PodNotJudged", "VMSingle", "mon", "db", "VMSingle-db")
    assert "useStrictSecurity" in event.text


def test_an_unknown_kind_is_an_event_on_its_resource():
    event = _surveyed(*_unknown_kind())
    assert _place(event) == ("PodOfUnknownKind", "VMFoo", "mon", "x", "foo-x")
    assert event.text == (
        "running pods of StatefulSet vmfoo-x are not secured: this version of vmguard does not know how the operator "
        "makes the pods of VMFoo mon/x; update vmguard"
    )


def test_an_owner_that_only_the_pod_names_gets_no_event():
    """Anyone who may create a pod can write any owner into it."""
    assert _surveyed(pod(FOREIGN)) is None


def test_a_denial_of_an_unknown_kind_is_an_event_too():
    decision, links = reviewed(*_unknown_kind()[:1], _unknown_kind()[1], VMGUARD_ENFORCE="deny")
    assert _place(of_admission(decision, links)) == ("PodDenied", "VMFoo", "mon", "x", "foo-x")


@pytest.mark.parametrize(
    ("where", "helps"),
    [
        ("enforced", "vmguard fills new pods for which the API server calls it"),
        (
            "trial",
            "the namespace is in a trial: with its label vmguard.io/mode=enforce vmguard fills new pods for which the"
            " API server calls it",
        ),
        ("excluded", "vmguard is not called for pods of kube-system"),
    ],
)
def test_a_running_pod_that_does_not_comply_says_what_helps(where, helps):
    event = _surveyed(*vmsingle(), where=where)
    assert _place(event) == ("PodNotCompliant", "VMSingle", "mon", "db", "VMSingle-db")
    assert event.text.startswith("running pods of Deployment vmsingle-db are not compliant: spec.")
    assert event.text.endswith(f"; {helps}")


def test_what_filling_cannot_repair_needs_a_manual_change():
    assert _surveyed(*vmsingle(None, WEAK)).text.endswith("; they need a manual change")


def test_what_helps_is_there_however_much_is_wrong(monkeypatch):
    monkeypatch.setattr(resource_events, "not_compliant", lambda _: "x" * 5000)
    text = _surveyed(*vmsingle()).text
    assert len(text) < 1000
    assert text.endswith("; vmguard fills new pods for which the API server calls it")


def test_an_exempt_namespace_gets_no_event():
    assert _surveyed(*vmsingle(), where="exempt") is None
    assert _surveyed(*_unknown_kind(), where="exempt") is None


def test_a_pod_that_complies_and_one_that_is_not_the_operators_get_none():
    assert _surveyed(*vmsingle({"useStrictSecurity": False})) is None
    assert _surveyed(pod()) is None


def test_the_pods_of_one_workload_have_one_event():
    """Their names are not in it, or each pod of a crash loop would be another one."""
    first, objects = vmsingle(name="vmsingle-db-1-aaaaa")
    second, _ = vmsingle(name="vmsingle-db-1-bbbbb")
    assert _surveyed(first, objects) == _surveyed(second, objects)


def test_the_resource_is_the_pods_own_and_not_its_parent():
    parent = resource("VMDistributed", "all")
    cluster = resource("VMCluster", "db", {"vmselect": {}}, parent)
    sets = workload("StatefulSet", "vmselect-db", cluster)
    thing = pod(sets, {"containers": [{"name": "vmselect"}]})
    event = _surveyed(thing, [parent, cluster, sets])
    assert _place(event)[1:4] == ("VMCluster", "mon", "db")


def test_a_long_text_is_cut_to_one_line():
    thing, objects = vmsingle({"podSecurityPolicyName": "x" * 5000})
    decision, links = reviewed(thing, objects, minor=24)
    assert decision.outcome == "denied"
    text = of_admission(decision, links).text
    assert len(text) <= 1000
    assert "\n" not in text


def test_reasons_are_camel_case():
    assert all(reason.isalpha() and reason[0].isupper() for reason in REASONS)
    assert settings().events
