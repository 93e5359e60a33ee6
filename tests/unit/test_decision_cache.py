"""A cached decision is the decision that would be made without the cache."""

import json
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.asgi import admission
from tests.support.examples import examples
from tests.support.golden import CASES
from tests.support.sample_pods import admitted, pod, resource, vmsingle, workload
from tests.support.strategies import cases
from webhook.admission.admission_review import PodObject, decode, decode_pod, pod_object, review_of
from webhook.admit import _Inquiry
from webhook.decision_cache import DecisionCache, key_of
from webhook.driver import drive
from webhook.facts import Found, Ref
from webhook.objects import KubeObject, Metadata, OwnerReference
from webhook.offline.file_facts import FileFacts
from webhook.offline.inputs import sort_documents
from webhook.offline.judge import judge
from webhook.policy.custom_resources import GROUP
from webhook.policy.decide import Decision
from webhook.policy.workload import Link, cached_owner_of
from webhook.settings import Settings

TOKEN = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


class _Counted(DecisionCache):
    """A cache that knows its hits."""

    def __init__(self, **more):
        super().__init__(self._hit, **more)
        self.hits = 0

    def _hit(self):
        self.hits += 1


def _decide(body, source, mine, cache=None, webhook="mutate"):
    return admitted(body, source, mine, webhook, cache)[0]


def _compact(review):
    """As the API server writes it."""
    return json.dumps(review, separators=(",", ":")).encode()


def _body(thing):
    return review_of(thing, uid="u", namespace="mon", name="db-0")


def _result(decision):
    return decision.outcome, decision.patch, decision.warnings, decision.annotations, decision.findings


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_the_next_pod_of_a_template_gets_the_decision_that_it_would_get(case):
    """Names, UIDs and the generated name of the token volume differ between the pods of one template."""
    mine, source, cache = Settings.from_environment(case.settings), FileFacts(case.objects, 37), _Counted()
    again = json.loads(case.review)
    first = _decide(_compact(again), source, mine, cache)
    volumes = again["request"]["object"]["spec"].get("volumes") or []
    generated = next((v["name"] for v in volumes if v["name"].startswith("kube-api-access-")), "kube-api-access-aaaaa")
    again["request"]["object"]["metadata"]["name"] = "another"
    body = _compact(again).replace(generated.encode(), b"kube-api-access-zzzzz")
    second = _decide(body, source, mine, cache)
    assert _result(second) == _result(_decide(body, source, mine))
    assert cache.hits == (first.outcome != "unmanaged")


@pytest.mark.parametrize("case", CASES[::5], ids=lambda case: case.path.name)
@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_a_response_from_the_cache_is_that_of_the_command_line(case, webhook):
    asked = admission(case.objects, 37, **case.settings)
    answers = [asked.ask(f"/{webhook}", case.review).body for _ in range(3)]
    (item,) = sort_documents([("review.json", json.loads(case.review))]).inputs
    mine = Settings.from_environment(case.settings)
    offline = judge(item, FileFacts(case.objects, 37), mine, webhook)
    assert {json.dumps(json.loads(answer)) for answer in answers} == {json.dumps(json.loads(offline.answer))}
    lines = [{**line, "time": "", "milliseconds": 0} for line in asked.lines()]
    assert lines[0] == lines[1] == lines[2]
    assert lines[0]["message"] == "admission"


def test_hits_are_counted_by_a_metric():
    thing, objects = vmsingle()
    asked = admission(objects)
    for expected in (0, 1, 2):
        asked.ask("/mutate", _body(thing))
        assert asked.metrics.registry.get_sample_value("vmguard_decision_cache_hits_total") == expected
    asked.ask("/validate", _body(thing))
    assert asked.metrics.registry.get_sample_value("vmguard_decision_cache_hits_total") == 2


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
def test_a_pod_that_differs_gets_a_decision_of_its_own(difference):
    thing, objects = vmsingle()
    other, _ = vmsingle(pod_spec=difference)
    mine, source, cache = Settings(), FileFacts(objects, 30), _Counted()
    first, second = (_decide(_body(each), source, mine, cache) for each in (thing, other))
    assert _result(second) == _result(_decide(_body(other), source, mine))
    assert _result(second) != _result(first)
    assert not cache.hits


def test_each_part_of_the_key_counts():
    thing, objects = vmsingle()
    annotated, _ = vmsingle(annotations={"a": "b"})
    cache = _Counted()
    source, newer, others = FileFacts(objects, 30), FileFacts(objects, 31), FileFacts(objects, 30)
    for body, facts, mine, webhook in (
        (_body(thing), source, Settings(), "mutate"),
        (_body(thing), source, Settings(), "validate"),
        (_body(thing), source, Settings.from_environment({"VMGUARD_ENFORCE": "off"}), "validate"),
        (_body(thing), newer, Settings(), "mutate"),
        (_body(thing), others, Settings(), "mutate"),
        (_body(annotated), source, Settings(), "mutate"),
        (_body(thing).replace(b'"containers":[', b'"containers": ['), source, Settings(), "mutate"),
    ):
        _decide(body, facts, mine, cache, webhook)
        assert not cache.hits
    assert len(cache._entries) == 7


def _with_token(name, **more):
    """A pod of a resource that wants no API access, with a token volume of that name."""
    spec = {"disableAutomountServiceAccountToken": True}
    thing, objects = vmsingle(spec)
    mount = {"name": name, "mountPath": TOKEN_PATH}
    containers = [{"name": "vmsingle", "volumeMounts": [mount]}]
    spec = {"volumes": [{"name": name, **TOKEN}], "containers": containers, **more}
    return {**thing, "spec": {**thing["spec"], **spec}}, objects


def test_a_volume_that_the_user_wrote_is_not_taken_for_the_api_servers():
    """A resource may have a volume with a name like the API server's: it stays."""
    mine, cache = Settings(), _Counted()
    spec = {"disableAutomountServiceAccountToken": True, "volumes": [{"name": "kube-api-access-users"}]}
    cr = resource("VMSingle", "db", spec)
    owner = workload("StatefulSet", "vmsingle-db", cr)
    source = FileFacts([cr, owner], 30)

    def removed(name):
        decision = _decide(_body(pod(owner, {"volumes": [{"name": name, **TOKEN}]})), source, mine, cache)
        return [operation.path for operation in decision.patch if operation.op == "remove"]

    assert removed("kube-api-access-abcde") == ["/spec/volumes/0"]
    assert removed("kube-api-access-users") == []
    assert removed("kube-api-access-fghij") == ["/spec/volumes/0"]
    assert not cache.hits


@pytest.mark.parametrize(
    "change",
    [
        lambda text, name: text.replace(b'"name":"kube', b'"name":"\\u006bube', 1),
        lambda text, name: text.replace(b'"name":"kube', b'"n\\u0061me":"kube', 1),
        lambda text, name: text.replace(b'"name":"kube', b'"name": "kube', 1),
        lambda text, name: text.replace(b'"name":"vmsingle"', b'"image":"%b","name":"vmsingle"' % name),
        lambda text, name: text.replace(b'"name":"vmsingle"', b'"args":["-x=%b"],"name":"vmsingle"' % name),
        lambda text, name: text.replace(b'"name":"vmsingle"', b'"env":[{"name":"%b"}],"name":"vmsingle"' % name),
        lambda text, name: text.replace(b'"volumes":', b'"volumes":[{"name":"%b"}],"volumes":' % name),
        lambda text, name: text.replace(b'"name":"%b"' % name, b'"name":"%b","name":"x"' % name, 1),
        lambda text, name: text.replace(b'"name":"%b"' % name, b'"name":"x","name":"%b","name":"y"' % name, 1),
        lambda text, name: text.replace(b"abcde", b"abcd\\u0065", 1).replace(b"fghij", b"fghi\\u006A", 1),
        lambda text, name: text.replace(b"abcde", b"abcd\\\\e").replace(b"fghij", b"fghi\\\\j"),
    ],
)
def test_a_name_that_is_spelled_otherwise_or_stands_elsewhere_is_no_reason_for_a_hit(change):
    mine, cache = Settings(), _Counted()
    _, objects = _with_token("kube-api-access-abcde")
    source = FileFacts(objects, 30)
    for name in ("kube-api-access-abcde", "kube-api-access-fghij"):
        plain = _body(_with_token(name)[0])
        body = change(plain, name.encode())
        assert body != plain
        assert _result(_decide(body, source, mine, cache)) == _result(_decide(body, source, mine))
    assert not cache.hits


@pytest.mark.parametrize("hidden", [b'"name":"\\u006bube-api-access-abcde"', b'"name": "kube-api-access-abcde"'])
def test_a_mount_that_is_spelled_otherwise_is_not_made_up_for_by_another_thing_of_that_name(hidden):
    """As often as the volume and its mount, the name stands in its usual spelling: at the volume and at a variable."""
    mine, cache = Settings(), _Counted()
    name = b'"name":"kube-api-access-abcde"'
    thing, objects = _with_token("kube-api-access-abcde")
    source = FileFacts(objects, 30)
    plain = _body(thing)
    assert plain.count(name) == 2
    mount = plain.index(name, plain.index(b"volumeMounts"))
    first = plain[:mount] + hidden + plain[mount + len(name) :]
    first = first.replace(b'"name":"vmsingle"', b'"env":[{%b}],"name":"vmsingle"' % name)
    second = first.replace(name, b'"name":"kube-api-access-fghij"')
    assert _result(_decide(first, source, mine)) != _result(_decide(second, source, mine))
    for body in (first, second):
        assert _result(_decide(body, source, mine, cache)) == _result(_decide(body, source, mine))


def test_a_decision_whose_text_contains_the_generated_name_is_not_cached():
    """No rule writes it today; one that does shall not give its text to another pod."""
    thing, _ = _with_token("kube-api-access-abcde")
    sent = pod_object(decode(_body(thing)).request.object)
    chain = (Link(Ref(GROUP, "v1beta1", "VMSingle", "n", "x"), Found(KubeObject(), "file")),)
    key = key_of(sent, chain)
    for text, entries in (("volume kube-api-access-abcde", 0), ("a volume", 1)):
        cache = DecisionCache()
        cache.add(key, decode_pod(sent), Decision("unchanged", warnings=(text,)), chain, frozenset())
        assert len(cache._entries) == entries


def test_a_decision_on_a_container_that_has_the_generated_name_is_not_cached():
    mine, cache = Settings(), _Counted()
    for name in ("kube-api-access-abcde", "kube-api-access-fghij"):
        container = {"name": name, "securityContext": {"runAsUser": 0}}
        thing, objects = _with_token(name, containers=[{"name": "vmsingle"}, container])
        decision = _decide(_body(thing), FileFacts(objects, 30), mine, cache)
        assert any(name in warning for warning in decision.warnings)
    assert not cache._entries


def test_a_resource_that_changed_decides_at_once():
    mine, cache = Settings(), DecisionCache()
    thing, objects = vmsingle()
    assert _decide(_body(thing), FileFacts(objects, 30), mine, cache).outcome == "patched"
    thing, objects = vmsingle({"useStrictSecurity": False})
    assert _decide(_body(thing), FileFacts(objects, 30), mine, cache).outcome == "unchanged"


def test_a_policy_is_looked_up_for_each_pod():
    thing, objects = vmsingle({"podSecurityPolicyName": "here"})
    policy = {"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "here"}}
    cache = DecisionCache()
    with_policy, without = FileFacts([*objects, policy], 24), FileFacts(objects, 24)
    assert _decide(_body(thing), with_policy, Settings(), cache).allowed
    assert not _decide(_body(thing), without, Settings(), cache).allowed
    assert not cache._entries


def test_no_denial_is_cached():
    thing, objects = vmsingle(pod_spec={"containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 0}}]})
    mine, cache = Settings.from_environment({"VMGUARD_ENFORCE": "deny"}), _Counted()
    for _ in range(2):
        assert not _decide(_body(thing), FileFacts(objects, 30), mine, cache, "validate").allowed
    assert not cache._entries


def test_memory_is_bounded_and_a_decision_on_a_large_pod_is_not_cached():
    cache = DecisionCache(most_bytes=500_000)
    thing, objects = vmsingle()
    source = FileFacts(objects, 30)
    for index in range(100):
        thing["metadata"]["annotations"] = {"a": str(index) * 500}
        _decide(_body(thing), source, Settings(), cache)
    assert 10 < len(cache._entries) < 40
    assert cache._bytes == sum(entry.size for entry in cache._entries.values()) <= 500_000
    cache = DecisionCache()
    thing["metadata"]["annotations"] = {"a": "x" * 40_000}
    _decide(_body(thing), source, Settings(), cache)
    assert not cache._entries


def test_a_decision_by_a_large_resource_is_not_cached():
    """Its entry would hold the resource, which anyone who may make pods could multiply."""
    cache = DecisionCache()
    thing, objects = vmsingle({"volumes": [{"name": "x" * 1000}] * 500})
    _decide(_body(thing), FileFacts(objects, 30), Settings(), cache)
    assert not cache._entries


@given(cases())
@settings(max_examples=examples(150), deadline=None)
def test_any_pod_gets_the_second_time_the_decision_that_it_gets_without_a_cache(case):
    asked, objects, minor, environment = case
    mine, source, cache = Settings.from_environment(environment), FileFacts(objects, minor), DecisionCache()
    for _ in range(2):
        assert _result(_decide(_body(asked), source, mine, cache)) == _result(_decide(_body(asked), source, mine))


def _spelled(value, chance, oddity):
    """A value as JSON, with characters escaped, keys in another order or twice, and white space, by that chance."""

    def text(plain):
        escaped = (
            f"\\u{ord(letter):04x}" if chance.random() < oddity / 10 else json.dumps(letter)[1:-1] for letter in plain
        )
        return f'"{"".join(escaped)}"'

    def space():
        return chance.choice([" ", "\n", "\t"]) if chance.random() < oddity / 5 else ""

    if isinstance(value, dict):
        items = list(value.items())
        if chance.random() < oddity:
            chance.shuffle(items)
        doubled = [(key, chance.choice([None, "x", []])) for key in value if chance.random() < oddity / 10]
        fields = [f"{text(key)}:{space()}{_spelled(each, chance, oddity)}" for key, each in (*doubled, *items)]
        return f"{{{space()}{','.join(fields)}{space()}}}"
    if isinstance(value, list):
        return f"[{space()}{','.join(_spelled(each, chance, oddity) for each in value)}{space()}]"
    return text(value) if isinstance(value, str) else json.dumps(value)


def test_every_hit_of_two_pods_however_they_are_spelled_is_a_fresh_decision():
    """The second pod is the text of the first with another name in the place of all or some of its token volume's."""
    hits = 0

    @given(cases(), st.integers(0, 2**32), st.sampled_from([0, 0, 0.1, 0.5, 1]), st.integers(0, 9))
    @settings(max_examples=max(examples(400), 120), deadline=None)
    def compare(case, seed, oddity, left):
        nonlocal hits
        asked, objects, minor, environment = case
        mine, source, cache = Settings.from_environment(environment), FileFacts(objects, minor), _Counted()
        spec = _spelled(asked["spec"], random.Random(seed), oddity)  # noqa: S311 - no secret
        whole = _compact(json.loads(_body({**asked, "spec": "@spec@"})))
        start, *rest = spec.split("abcde")
        other = start + "".join(("abcde" if number == left else "fghij") + each for number, each in enumerate(rest))
        for webhook in ("mutate", "validate"):
            for text in (spec, other, spec):
                body = whole.replace(b'"@spec@"', text.encode())
                try:
                    fresh = _result(_decide(body, source, mine, None, webhook))
                except ValueError as error:  # a doubled key made it no pod
                    with pytest.raises(type(error)):
                        _decide(body, source, mine, cache, webhook)
                    continue
                assert _result(_decide(body, source, mine, cache, webhook)) == fresh
        hits += cache.hits

    compare()
    assert hits > max(examples(400), 200), "the comparison would say little"


def test_pods_whose_token_volumes_differ_in_length_have_different_keys():
    """The API server generates five characters; any other name is part of the text."""

    def parts(name):
        spec = {"volumes": [{"name": name}], "padding": "x" * (100 - len(name))}
        sent = PodObject(msgspec.Raw(json.dumps(spec, separators=(",", ":")).encode()))
        ref = Ref(GROUP, "v1beta1", "VMSingle", "n", "x")
        return key_of(sent, (Link(ref, Found(OWNER, "file")),)).parts

    assert parts("kube-api-access-aaaaa") == parts("kube-api-access-bbbbb")
    assert parts("kube-api-access-aaaaa") != parts("kube-api-access-bbbbbb")
    assert parts("kube-api-access-bbbb") != parts("kube-api-access-cccc")


OWNER = KubeObject()


@pytest.mark.parametrize(("source", "cached"), [("cache", 1), ("live", 0)])
def test_the_owner_of_an_object_that_was_read_live_is_not_cached(source, cached):
    """Such an object holds all that its author wrote into it."""

    class Source:
        def cached(self, lookup):
            return Found(KubeObject(Metadata(lookup.ref.name, uid="u")), source)

    owner = OwnerReference("apps/v1", "ReplicaSet", "rs", "u", controller=True)
    before = cached_owner_of.cache_info().misses
    inquiry = _Inquiry("n")
    drive(inquiry.owners("Pod", Metadata("p", owner_references=[owner]), "n"), Source())
    assert [link.ref.name for link in inquiry.links] == ["rs"]
    assert cached_owner_of.cache_info().misses - before == cached
