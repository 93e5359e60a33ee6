"""No answer repeats a client's text whole, and none is much larger than its request needs."""

import asyncio
import json

import pytest

from tests.support.admission_reviews import pod_review
from tests.support.asgi import JSON, admission
from tests.support.sample_pods import resource, vmsingle
from webhook.admission.admission_review import MOST_CONTAINERS
from webhook.offline.answer import QuestionError, answer
from webhook.policy.custom_resources import GROUP
from webhook.server.http import error_body
from webhook.settings import Settings

LONG = "x" * 98_000
MOST = 3000
"""Bytes of an error."""

POD, OBJECTS = vmsingle()


def _secret(name):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": 1}}


QUESTIONS = {
    "its version": {"pod": POD, "kubernetesVersion": LONG},
    "an unknown field": {"pod": POD, LONG: 1},
    "the kind of a document": {"kind": LONG},
    "the kind of an object": {"pod": POD, "objects": [{**_secret("s"), "kind": LONG}]},
    "the name of an object": {"pod": POD, "objects": [_secret(LONG)]},
    "the version of a review": {"kind": "AdmissionReview", "apiVersion": LONG, "request": {}},
    "a key in YAML": f"{LONG}: [",
    "a tag in YAML": f"!{LONG} a",
    "an alias in YAML": f"*{LONG}",
    "a number in YAML": "9" * 98_000,
    "JSON that breaks off": f'{{"{LONG}": ',
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_the_error_of_a_question_does_not_repeat(what):
    question = QUESTIONS[what]
    body = question.encode() if isinstance(question, str) else json.dumps(question).encode()
    with pytest.raises(QuestionError) as raised:
        answer(body, (), Settings(), 30)
    assert len(str(raised.value)) <= MOST


def _changed(**fields):
    return {**pod_review(POD), **fields}


REVIEWS = {
    "its version": _changed(apiVersion=LONG),
    "its kind": _changed(kind=LONG),
    "its uid": pod_review(POD, uid=LONG),
    "its uid's type": pod_review(POD, uid=[LONG]),
    "a field's name": pod_review({**POD, "metadata": {**POD["metadata"], "labels": {LONG: 1}}}),
    "a container's name": pod_review({**POD, "spec": {"containers": [{"name": LONG, "volumeMounts": LONG}]}}),
}


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
@pytest.mark.parametrize("what", REVIEWS)
def test_the_error_of_a_review_does_not_repeat(what, path):
    app = admission(OBJECTS)
    found = app.ask(path, json.dumps(REVIEWS[what]).encode())
    assert found.status == 400
    assert len(found.body) <= MOST
    assert len(app.stderr.getvalue()) <= MOST


def test_any_other_error_is_cut():
    assert len(error_body(404, f"GET /{LONG}: Not Found")) <= MOST


def _pod(metadata=None, **spec):
    pod, _ = vmsingle()
    pod["spec"].update(spec)
    pod["metadata"].update(metadata or {})
    return pod_review(pod)


def _custom(kind, name="db", **spec):
    request = pod_review(resource(kind, name, spec), name=name)
    request["request"]["kind"] = {"group": GROUP, "version": "v1beta1", "kind": kind}
    return request


TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TEXTS = {
    "owner name": _pod({"ownerReferences": [{**POD["metadata"]["ownerReferences"][0], "name": LONG}]}),
    "owner kind": _pod({"ownerReferences": [{**POD["metadata"]["ownerReferences"][0], "kind": LONG}]}),
    "namespace": pod_review(POD, namespace=LONG),
    "name": pod_review(POD, name=LONG),
    "operation": pod_review(POD, operation=LONG),
    "annotations": _pod({"annotations": {"kubernetes.io/psp": LONG, "seccomp.security.alpha.kubernetes.io/pod": LONG}}),
    "container name": _pod(containers=[{"name": LONG, "securityContext": {"privileged": True}}]),
    "context field": _pod(containers=[{"name": "c", "securityContext": {LONG: True}}]),
    "context value": _pod(
        containers=[{"name": "c", "securityContext": {"procMount": LONG, "capabilities": {"add": [LONG]}}}]
    ),
    "sysctl": _pod(securityContext={"sysctls": [{"name": LONG, "value": LONG}], "seccompProfile": {"type": LONG}}),
    "token volume": _pod(
        volumes=[{"name": LONG, "projected": {"sources": [{"serviceAccountToken": {"audience": LONG, "path": LONG}}]}}],
        containers=[{"name": "vmsingle", "volumeMounts": [{"name": LONG, "mountPath": TOKEN_PATH}]}],
    ),
    "resource name": _custom("VMSingle", LONG, hostNetwork=True),
    "resource context": _custom("VMSingle", securityContext={LONG: 1}),
    "wrong type": _custom("VMSingle", useStrictSecurity=LONG),
    "resource container": _custom("VMSingle", containers=[{"name": LONG, "securityContext": {"procMount": LONG}}]),
    "policy": _custom("VMSingle", podSecurityPolicyName=LONG),
    "data path": _custom("VMSingle", storageDataPath=f"/{LONG}"),
    "volume": _custom("VMSingle", volumes=[{"name": LONG}], volumeMounts=[{"name": LONG, "mountPath": f"/{LONG}"}]),
    "zone": _custom("VMDistributed", zones=[{"name": LONG, "vmsingle": {"spec": {"hostNetwork": True}}}]),
}
"""Reviews that each have one text of 98 KB."""

MOST_OF_ANY = 8000
"""Bytes of an answer, of its log lines; and of its metrics, which have some 8 KB of their own."""


@pytest.mark.parametrize("enforce", ["warn", "deny"])
@pytest.mark.parametrize("path", ["/mutate", "/validate"])
@pytest.mark.parametrize("what", TEXTS)
def test_no_text_of_a_review_makes_answer_log_or_metrics_large(what, path, enforce):
    app = admission(OBJECTS, 24, VMGUARD_ENFORCE=enforce)
    found = app.ask(path, json.dumps(TEXTS[what]).encode())
    assert len(found.body) <= MOST_OF_ANY
    assert 0 < len(app.stderr.getvalue()) <= MOST_OF_ANY
    assert len(app.metrics.text()) <= 3 * MOST_OF_ANY


def _containers(count, **more):
    return [{"name": f"c{number}", **more} for number in range(count)]


def _answered(containers, path):
    pod, objects = vmsingle(pod_spec={"containers": containers})
    app = admission(objects, VMGUARD_HARDEN_SIDECARS="true")
    found = asyncio.run(app.answer(path, json.dumps(pod_review(pod)).encode(), headers=JSON))
    assert found.status in {200, 400}
    return len(found.body)


@pytest.mark.parametrize("context", [None, {}, {"capabilities": {}}, {"privileged": True}, {"procMount": "Default"}])
@pytest.mark.parametrize("path", ["/mutate", "/validate"])
def test_each_container_adds_little_to_the_answer(path, context):
    """With an operation for each field, each of these containers added up to 833 bytes."""
    more = {} if context is None else {"securityContext": context}
    few, many = (_answered(_containers(count, **more), path) for count in (MOST_CONTAINERS // 2, MOST_CONTAINERS))
    assert (many - few) * 2 / MOST_CONTAINERS <= 350
    assert _answered(_containers(MOST_CONTAINERS + 1, **more), path) <= MOST


def test_the_reasons_of_a_level_are_cut():
    containers = [{"name": f"{LONG[:2000]}{number}", "image": "i"} for number in range(40)]
    question = json.dumps(resource("VMSingle", spec={"containers": containers})).encode()
    found = answer(question, (), Settings(), 30)
    assert found.pod_security
    assert sum(map(len, found.pod_security.reasons)) <= 51 * 500
