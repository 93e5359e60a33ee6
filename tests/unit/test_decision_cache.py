"""A decision that was kept is the decision that would be made."""

import json

import msgspec
import pytest
from hypothesis import given, settings

from tests.support.asgi import admission
from tests.support.golden import CASES
from tests.support.sample_pods import admitted, pod, resource, vmsingle, workload
from tests.support.strategies import cases
from webhook.admission.admission_review import PodObject, review_of
from webhook.admit import _Inquiry
from webhook.decision_cache import DecisionCache, key_of
from webhook.driver import drive
from webhook.facts import Found, Ref
from webhook.objects import KubeObject, Metadata, OwnerReference
from webhook.offline.file_facts import FileFacts
from webhook.offline.inputs import sort_documents
from webhook.offline.judge import judge
from webhook.policy.custom_resources import GROUP
from webhook.policy.workload import Link, cached_owner_of
from webhook.settings import Settings


def _decide(body, source, mine, alike=None):
    """The decision; with `alike` by a server that caches decisions, without by everything else."""
    return admitted(body, source, mine, cache=alike)[0]


def _compact(review):
    """As the API server writes it."""
    return json.dumps(review, separators=(",", ":")).encode()


def _told(decision):
    return decision.outcome, decision.patch, decision.warnings, decision.annotations, decision.findings


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_the_next_pod_of_a_template_gets_what_it_would_have_got(case):
    """Names, UIDs and the random suffix of the token volume differ between the pods of one template."""
    mine, source, alike = Settings.from_environment(case.settings), FileFacts(case.objects, 37), DecisionCache()
    again = json.loads(case.review)
    first = _decide(_compact(again), source, mine, alike)
    volumes = again["request"]["object"]["spec"].get("volumes") or []
    suffixed = next((v["name"] for v in volumes if v["name"].startswith("kube-api-access-")), "kube-api-access-aaaaa")
    again["request"]["object"]["metadata"]["name"] = "another"
    body = _compact(again).replace(suffixed.encode(), b"kube-api-access-zzzzz")
    kept = _decide(body, source, mine, alike)
    assert _told(kept) == _told(_decide(body, source, mine))
    if first.outcome != "unmanaged":
        assert kept.patch is first.patch


@pytest.mark.parametrize("case", CASES[::5], ids=lambda case: case.path.name)
@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_the_words_that_are_kept_are_those_of_the_command_line(case, webhook):
    asked = admission(case.objects, 37, **case.settings)
    answers = [asked.ask(f"/{webhook}", case.review).body for _ in range(3)]
    (item,) = sort_documents([("review.json", json.loads(case.review))]).inputs
    mine = Settings.from_environment(case.settings)
    offline = judge(item, FileFacts(case.objects, 37), mine, webhook)
    assert {json.dumps(json.loads(answer)) for answer in answers} == {json.dumps(json.loads(offline.answer))}
    lines = [{**line, "time": "", "milliseconds": 0} for line in asked.lines()]
    assert lines[0] == lines[1] == lines[2]
    assert lines[0]["message"] == "admission"


@pytest.mark.parametrize(
    "difference",
    [
        {"containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 0}}]},
        {"containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 10**30}}]},
        {"containers": [{"name": "vmsingle"}, {"name": "config-reloader"}]},
        {"securityContext": {"fsGroup": 1}},
        {"os": {"name": "windows"}},
    ],
)
def test_a_pod_that_differs_is_decided_anew(difference):
    thing, objects = vmsingle()
    other, _ = vmsingle(pod_spec=difference)
    mine, source, alike = Settings(), FileFacts(objects, 30), DecisionCache()
    first, second = (_decide(_body(each), source, mine, alike) for each in (thing, other))
    assert _told(second) == _told(_decide(_body(other), source, mine))
    assert _told(second) != _told(first)


def test_a_volume_that_the_user_wrote_is_not_taken_for_the_api_servers():
    """Whoever names a volume of their own like the API server's keeps it, whatever was decided before."""
    mine, alike = Settings(), DecisionCache()
    spec = {"disableAutomountServiceAccountToken": True, "volumes": [{"name": "kube-api-access-users"}]}
    cr = resource("VMSingle", "db", spec)
    owner = workload("StatefulSet", "vmsingle-db", cr)
    source = FileFacts([cr, owner], 30)

    def removed(name):
        volume = {"name": name, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
        decision = _decide(_body(pod(owner, {"volumes": [volume]})), source, mine, alike)
        return [operation.path for operation in decision.patch if operation.op == "remove"]

    assert removed("kube-api-access-abcde") == ["/spec/volumes/0"]
    assert removed("kube-api-access-users") == []
    assert removed("kube-api-access-fghij") == ["/spec/volumes/0"]


def test_a_suffix_that_stands_elsewhere_too_is_told_as_it_stands():
    mine, alike = Settings(), DecisionCache()
    thing, objects = vmsingle({"disableAutomountServiceAccountToken": True})
    source = FileFacts(objects, 30)
    for name in ("kube-api-access-abcde", "kube-api-access-fghij"):
        volume = {"name": name, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
        container = {"name": name, "securityContext": {"runAsUser": 0}}
        spec = {"volumes": [volume], "containers": [{"name": "vmsingle"}, container]}
        decision = _decide(_body({**thing, "spec": {**thing["spec"], **spec}}), source, mine, alike)
        assert any(name in warning for warning in decision.warnings)


def test_a_resource_that_changed_is_heeded_at_once():
    mine, alike = Settings(), DecisionCache()
    thing, objects = vmsingle()
    assert _decide(_body(thing), FileFacts(objects, 30), mine, alike).outcome == "patched"
    thing, objects = vmsingle({"useStrictSecurity": False})
    assert _decide(_body(thing), FileFacts(objects, 30), mine, alike).outcome == "unchanged"


def test_a_policy_is_asked_for_each_time():
    thing, objects = vmsingle({"podSecurityPolicyName": "here"})
    policy = {"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "here"}}
    alike = DecisionCache()
    with_policy, without = FileFacts([*objects, policy], 24), FileFacts(objects, 24)
    assert _decide(_body(thing), with_policy, Settings(), alike).allowed
    assert not _decide(_body(thing), without, Settings(), alike).allowed


def test_memory_is_bounded_and_a_huge_pod_is_not_kept():
    alike = DecisionCache(most_bytes=500_000)
    thing, objects = vmsingle()
    source = FileFacts(objects, 30)
    for index in range(100):
        thing["metadata"]["annotations"] = {"a": str(index) * 500}
        _decide(_body(thing), source, Settings(), alike)
    assert 10 < len(alike._kept) < 40
    assert alike._bytes <= 500_000
    alike = DecisionCache()
    thing["metadata"]["annotations"] = {"a": "x" * 40_000}
    _decide(_body(thing), source, Settings(), alike)
    assert not alike._kept


def test_a_decision_by_a_large_resource_is_not_kept():
    """Its entry would hold the resource, which anyone who may make pods could multiply."""
    alike = DecisionCache()
    thing, objects = vmsingle({"volumes": [{"name": "x" * 1000}] * 500})
    _decide(_body(thing), FileFacts(objects, 30), Settings(), alike)
    assert not alike._kept


@given(cases())
@settings(max_examples=150, deadline=None)
def test_any_pod_is_decided_the_second_time_as_without_memory(case):
    asked, objects, minor, environment = case
    mine, source, alike = Settings.from_environment(environment), FileFacts(objects, minor), DecisionCache()
    for _ in range(2):
        assert _told(_decide(_body(asked), source, mine, alike)) == _told(_decide(_body(asked), source, mine))


def _body(thing):
    return review_of(thing, uid="u", namespace="mon", name="db-0")


def test_pods_whose_token_volumes_differ_in_length_are_not_compared():
    """A long name put in the place of each short one would make many megabytes of a small pod."""

    def parts(name):
        spec = {"volumes": [{"name": name}], "padding": "x" * (100 - len(name))}
        sent = PodObject(msgspec.Raw(json.dumps(spec, separators=(",", ":")).encode()))
        ref = Ref(GROUP, "v1beta1", "VMSingle", "n", "x")
        return key_of(sent, (Link(ref, Found(OWNER, "file")),)).parts

    assert parts("kube-api-access-aaaaa") == parts("kube-api-access-bbbbb")
    assert parts("kube-api-access-aaaaa") != parts("kube-api-access-bbbbbb")


OWNER = KubeObject()


@pytest.mark.parametrize(("source", "remembered"), [("cache", 1), ("live", 0)])
def test_an_owner_that_is_kept_nowhere_is_not_remembered_either(source, remembered):
    """One that was read live holds all that somebody wrote into it."""

    class Source:
        def cached(self, lookup):
            return Found(KubeObject(Metadata(lookup.ref.name, uid="u")), source)

    owner = OwnerReference("apps/v1", "ReplicaSet", "rs", "u", controller=True)
    before = cached_owner_of.cache_info().misses
    inquiry = _Inquiry("n")
    drive(inquiry.owners("Pod", Metadata("p", owner_references=[owner]), "n"), Source())
    assert [link.ref.name for link in inquiry.links] == ["rs"]
    assert cached_owner_of.cache_info().misses - before == remembered
