"""What a question to /dry-run may hold, answered in this process and by a worker that must survive it."""

import asyncio
import json

import msgspec
import pytest

from tests.support.sample_pods import pod, resource, vmsingle
from tests.support.server import serving
from webhook.offline.answer import QuestionError, answer
from webhook.settings import Settings

HEAD = b"apiVersion: v1\nkind: Pod\nmetadata: {name: db-0, namespace: mon}\nspec: {containers: [{name: a}]}\n"
VALUES = [None, True, 0, -1, 1e308, "x", "", "\0\n", [], {}, [None], {"a": None}]


def _asked(body):
    """The HTTP status of an answer, which must be one that can be sent."""
    try:
        msgspec.json.encode(asyncio.run(answer(body, (), Settings.from_environment({}), 30)))
    except QuestionError as error:
        code, reason = error.code, str(error)
    else:
        return 200
    assert reason
    assert "\n" not in reason
    return code


def _replaced(value, put):
    """The value with each of its places, one at a time, replaced."""
    yield put
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        for changed in _replaced(child, put):
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[key] = changed
            yield copy


SECURITY = {"runAsUser": 0, "privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}, "seccompProfile": {"type": "x"}}
SPEC = {
    "containers": [{"name": "vmsingle", "securityContext": SECURITY, "ports": [{"hostPort": 1}], "volumeMounts": [{}]}],
    "initContainers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "x"}}}],
    "volumes": [{"name": "a", "hostPath": {"path": "/"}}],
    "securityContext": {"sysctls": [{"name": "a"}], "seLinuxOptions": {"type": "x"}},
    "hostNetwork": True,
}


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_any_value_at_any_place_of_a_question_gets_an_answer_or_a_reason(value):
    thing, objects = vmsingle({"useStrictSecurity": True, "securityContext": {"fsGroup": 1}}, SPEC)
    question = {"pod": thing, "objects": objects, "kubernetesVersion": "1.24"}
    cluster = resource("VMCluster", spec={"vmselect": {"podSecurityPolicyName": "x"}, "vmstorage": {}})
    listed = {"apiVersion": "v1", "kind": "List", "items": [cluster]}
    bodies = [json.dumps(changed).encode() for asked in (question, listed) for changed in _replaced(asked, value)]
    assert len(bodies) > 100
    codes = {_asked(body) for body in bodies}
    assert {200, 422} <= codes <= {200, 400, 422}


BILLION_LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((n + 1, n + 1) + (n,) * 8) for n in range(97, 110)
)
MERGES = b"a: &a {" + b",".join(b"k%d: 1" % n for n in range(3000)) + b"}\nb: {<<: [" + b"*a," * 60 + b"]}\n"

TEXTS = {
    "billion laughs": (400, BILLION_LAUGHS),
    "merges of merges": (400, MERGES),
    "python object": (400, b"!!python/object/apply:os.system [x]"),
    "python object below": (400, HEAD + b"x: !!python/object:x.y {}\n"),
    "tag by another handle": (400, b"%TAG ! tag:yaml.org,2002:python/\n---\n!object x\n"),
    "binary": (400, HEAD + b"x: !!binary aGk=\n"),
    "timestamp": (400, HEAD + b"x: !!timestamp 2020-01-01\n"),
    "set": (400, HEAD + b"x: !!set {a}\n"),
    "own tag": (400, HEAD + b"x: !foo bar\n"),
    "date": (200, HEAD + b"x: 2020-01-01\n"),
    "anchor and alias": (200, HEAD + b"x: &a [1]\ny: *a\n"),
    "merge key": (200, b"<<: {kind: Pod, apiVersion: v1, metadata: {name: x}, spec: {}}\n"),
    "merge of text": (400, b"<<: x"),
    "alias to itself": (400, b"a: &a {b: *a}"),
    "key twice": (400, HEAD + b"kind: Pod\n"),
    "key twice, JSON": (422, b'{"kind":"Pod","kind":"X","apiVersion":"v1"}'),
    "lone surrogate": (400, HEAD + b'x: "\\uD800"\n'),
    "lone surrogate in a label": (400, HEAD.replace(b"db-0", b'db-0, labels: {a: "\\ud83d"}')),
    "lone surrogate, JSON": (400, b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"\\ud800"}}'),
    "encoded surrogate": (400, HEAD + b"x: \xed\xa0\x80\n"),
    "beyond Unicode": (400, HEAD + b'x: "\\UFFFFFFFF"\n'),
    "NUL, escaped": (200, HEAD + b'x: "\\0"\n'),
    "NUL": (400, HEAD + b"x: \0\n"),
    "escape": (400, HEAD + b"x: \x1b\n"),
    "latin-1": (400, HEAD + b"x: \xe9\n"),
    "UTF-16": (400, HEAD.decode().encode("utf-16")),
    "NaN": (400, b'{"a":NaN}'),
    "NaN, YAML": (400, HEAD + b"x: .nan\n"),
    "infinity": (400, HEAD + b"x: -.inf\n"),
    "too large": (400, b'{"a":1e400}'),
    "digits": (400, HEAD + b"x: " + b"9" * 100_000 + b"\n"),
    "digits, JSON": (400, b'{"kind":"Pod","apiVersion":"v1","a":' + b"9" * 100_000 + b"}"),
    "underscores": (200, HEAD + b"x: 1" + b"_" * 200_000 + b"\n"),
    "deep JSON": (400, b"[" * 100_000),
    "deep JSON objects": (400, b'{"a":' * 80_000),
    "deep flow": (400, b"a: " + b"[" * 100_000),
    "deep block": (400, b"- " * 100_000),
    "deep keys": (400, b"? " * 100_000),
    "deep lists of lists": (400, b'{"apiVersion":"v1","kind":"List","items":[' * 60 + b"]}" * 60),
    "many documents": (422, b"---\na: 1\n" * 20_000),
    "many pods": (422, (HEAD + b"---\n") * 2000),
    "many anchors": (422, b"".join(b"k%d: &a%d x\n" % (n, n) for n in range(20_000))),
    "long key": (422, b"? " + b"a" * 400_000 + b"\n: 1\n"),
    "unended text": (400, b'"' + b"a\\\n" * 150_000),
    "comment": (422, b"#" * 500_000),
    "nothing": (422, b""),
    "null": (422, b"null"),
    "other version of YAML": (400, b"%YAML 9.9\n---\n" + HEAD),
    "review without a request": (422, b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}'),
    "review of null": (422, b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}'),
    "review of version 2": (
        422,
        b'{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview","request":{"object":{}}}',
    ),
    "pod null": (422, b'{"pod":null}'),
    "version in other digits": (422, json.dumps({"pod": pod(), "kubernetesVersion": "1.٣٠"}).encode()),
    "version of many digits": (422, json.dumps({"pod": pod(), "kubernetesVersion": "1." + "9" * 5000}).encode()),
}


@pytest.mark.parametrize(("status", "body"), TEXTS.values(), ids=TEXTS)
def test_text_of_any_kind_gets_an_answer_or_a_reason(status, body):
    assert _asked(body) == status


def _next_is_answered(server):
    return server.dry_run(pod())[0] == 200


@pytest.mark.slow
def test_the_worker_survives_all_of_it_and_answers_the_next_question(tmp_path):
    with serving(tmp_path, vmsingle()[1]) as server:
        for name, (status, body) in TEXTS.items():
            code, _, answered = server.ask("POST", "/dry-run", body, "application/yaml")
            assert code in {status, 429}, (name, answered)
            assert _next_is_answered(server), f"after {name}"
        assert server.lines()[-1]["message"] == "serving", "nothing was logged since"


@pytest.mark.slow
def test_after_a_question_that_is_too_much_work_the_next_is_answered(tmp_path):
    thing = vmsingle()[0]
    thing["spec"] = {"containers": [{"name": "vmsingle"}] * 22_000}
    with serving(tmp_path, vmsingle()[1]) as server:
        code, _, answered = server.ask("POST", "/dry-run", json.dumps(thing, separators=(",", ":")).encode())
        assert code in {200, 400, 422, 429}
        assert "Traceback" not in str(answered)
        assert _next_is_answered(server)
