"""Any JSON at any place of a review gets an answer or a reason."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonpatch
import pytest

from tests.support.asgi import HttpAnswer, InProcessApp, admission
from tests.support.golden import CASES
from tests.support.patience import PATIENCE
from tests.support.sample_pods import resource, vmsingle
from tests.support.server import environment
from webhook.server.admission_handler import MAX_BODY, time_allowed

VALUES = ["null", "true", "0", "-1", "1e400", "1e308", '"x"', '""', '"\\u0000\\n"', "[]", "{}", "[null]", '{"a":null}']
RECORDED = list({case.category: case for case in CASES}.values())
POD = {"group": "", "version": "v1", "kind": "Pod"}


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from _paths(child, (*at, key))


def _with(value: Any, path: tuple[Any, ...], put: Any) -> Any:
    if not path:
        return put
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], put)
    return copy


def _review(thing: Any, kind: dict[str, str] | None = None, **request: Any) -> dict[str, Any]:
    user = {"username": "system:node:a", "groups": ["system:nodes"]}
    asked = {"uid": "u", "kind": kind or POD, "namespace": "mon", "name": "db", "operation": "CREATE", "userInfo": user}
    asked |= {"dryRun": False, "object": thing, "oldObject": None, **request}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}


def _wrong(body: bytes, answer: HttpAnswer) -> str | None:
    """What is wrong with an answer, whatever was asked."""
    said = answer.json()
    if answer.status == 400:
        return None if said["kind"] == "Status" and "\n" not in said["message"] else "no one-line reason"
    if answer.status != 200:
        return f"status {answer.status}: {said}"
    response = said["response"]
    if any("\n" in warning for warning in response.get("warnings", [])):
        return "a warning of two lines"
    if "patch" in response:
        asked = json.loads(body)["request"]
        try:
            jsonpatch.apply_patch(asked["object"], json.loads(base64.b64decode(response["patch"])), in_place=True)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            return f"a patch that does not apply: {error}"
    return None


async def _every_place(asked: InProcessApp, review: dict[str, Any]) -> tuple[int, list[str]]:
    count, wrong = 0, []
    for path in _paths(review):
        around = json.dumps(_with(review, path, "@here@"))
        for value in VALUES:
            body = around.replace('"@here@"', value).encode()
            for webhook in ("/mutate", "/validate"):
                count += 1
                found = _wrong(body, await asked.answer(webhook, body))
                if found:
                    wrong.append(f"{webhook} {'.'.join(map(str, path))} = {value}: {found}")
    return count, wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [RECORDED[0], *(pytest.param(case, marks=pytest.mark.slow) for case in RECORDED[1:])],
    ids=lambda case: case.category,
)
def test_any_value_at_any_place_of_a_recorded_review_gets_an_answer_that_can_be_used(case):
    asked = admission(case.objects, **case.settings)
    count, wrong = asyncio.run(_every_place(asked, json.loads(case.review)))
    assert count > 3000
    assert not wrong
    assert not [line for line in asked.lines() if line["level"] == "error"]


OWN = {
    "privileged": False,
    "allowPrivilegeEscalation": True,
    "runAsUser": 0,
    "runAsGroup": 1,
    "runAsNonRoot": False,
    "readOnlyRootFilesystem": False,
    "procMount": "Default",
    "seccompProfile": {"type": "Localhost", "localhostProfile": "x"},
    "appArmorProfile": {"type": "RuntimeDefault"},
    "seLinuxOptions": {"level": "s0"},
    "windowsOptions": {"hostProcess": False},
}
WHOLE = {"fsGroup": 5, "supplementalGroups": [1], "sysctls": [{"name": "a", "value": "b"}], "runAsNonRoot": True}
TOKEN = {"name": "kube-api-access-abcde", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
RICH_POD = {
    "containers": [
        {"name": "vmsingle", "args": ["-a=b"], "securityContext": OWN, "volumeMounts": [TOKEN]},
        {"name": "config-reloader", "args": ["--config-secret-name=x"]},
        {"name": "sidecar"},
    ],
    "initContainers": [{"name": "config-init", "args": [], "securityContext": {"runAsUser": 3}}],
    "securityContext": WHOLE,
    "os": {"name": "linux"},
    "serviceAccountName": "x",
    "automountServiceAccountToken": None,
    "volumes": [
        {"name": TOKEN["name"], "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {"name": "d", "secret": {"secretName": "s"}},
    ],
}
RICH_SPEC = {
    "useStrictSecurity": True,
    "disableAutomountServiceAccountToken": True,
    "securityContext": {**OWN, "podSecurityContext": WHOLE, "containerSecurityContext": OWN},
    "podSecurityPolicyName": "nope",
    "volumes": [{"name": "data"}],
}
SKETCHED_SPEC = {
    "useStrictSecurity": True,
    "disableAutomountServiceAccountToken": True,
    "containers": [{"name": "vmsingle", "securityContext": OWN}, {**RICH_POD["containers"][0], "name": "kubectl"}],
    "initContainers": [
        {"name": "x", "image": "kubectl:1", "command": ["kubectl"], "securityContext": {"runAsUser": 0}}
    ],
    "volumes": [{"name": "data", "hostPath": {"path": "/"}}, *RICH_POD["volumes"]],
    "volumeMounts": [{"name": "data", "mountPath": "/x", "readOnly": True}],
    "extraArgs": {"storageDataPath": "/x", "cacheDataPath": "y"},
    "storage": {"emptyDir": {}},
    "storageDataPath": "/z",
    "hostNetwork": True,
    "podMetadata": {"annotations": {"a": "b"}},
    "vmBackup": {},
    "remoteWriteSettings": {"tmpDataPath": "/q"},
}
SETTINGS = [
    {},
    {"VMGUARD_ENFORCE": "deny", "VMGUARD_HARDEN_SIDECARS": "true", "VMGUARD_DISABLE_AUTOMOUNT": "true"},
    {"VMGUARD_MODE": "audit", "VMGUARD_ENFORCE": "deny", "VMGUARD_RUN_AS": "platform"},
]


@pytest.mark.slow
@pytest.mark.parametrize(("minor", "settings"), list(zip([30, 24, 19], SETTINGS, strict=True)))
def test_any_json_value_in_any_field_of_a_pod_gets_a_valid_answer(settings, minor):
    notes = {"kubernetes.io/psp": "x", "container.apparmor.security.beta.kubernetes.io/vmsingle": "unconfined"}
    pod, objects = vmsingle(RICH_SPEC, RICH_POD, annotations=notes)
    count, wrong = asyncio.run(_every_place(admission(objects, minor, **settings), _review(pod)))
    assert count > 2000
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("minor", [24, 30])
@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VMSingle", RICH_SPEC),
        ("VMSingle", SKETCHED_SPEC),
        ("VMCluster", {**RICH_SPEC, "vmselect": RICH_SPEC, "vmstorage": {"volumes": [None]}}),
    ],
)
def test_any_value_at_any_place_of_a_resource_gets_an_answer_that_can_be_used(kind, spec, minor):
    thing = resource(kind, "db", spec)
    named = {"group": "operator.victoriametrics.com", "version": "v1beta1", "kind": kind}
    review = _review(thing, named, operation="UPDATE", oldObject=thing)
    count, wrong = asyncio.run(_every_place(admission([], minor), review))
    assert count > 2000
    assert not wrong


@pytest.mark.slow
def test_any_value_at_any_place_of_an_ephemeral_container_gets_an_answer_that_can_be_used():
    pod, objects = vmsingle(None, {**RICH_POD, "ephemeralContainers": [{"name": "e", "securityContext": OWN}]})
    review = _review(pod, operation="UPDATE", oldObject=vmsingle(None, RICH_POD)[0])
    review["request"]["subResource"] = "ephemeralcontainers"
    count, wrong = asyncio.run(_every_place(admission(objects, 37), review))
    assert count > 2000
    assert not wrong


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b"null",
        b"{} {}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":01}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\ud800\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":' + b'{"a":' * 100_000,
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
        b'{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview","request":{}}',
        b'{"apiVersion":"","kind":"AdmissionReview","request":{}}',
        b'{"kind":"AdmissionReview","request":{}}',
        b'{"apiVersion":"admission.k8s.io/v1","request":{}}',
        b'{"apiVersion":"v1","kind":"Pod"}',
    ],
    ids=range(23),
)
@pytest.mark.parametrize("webhook", ["/mutate", "/validate"])
def test_what_is_no_review_is_a_400_with_a_reason(webhook, body):
    asked = admission([])
    answer = asked.ask(webhook, body)
    assert (answer.status, answer.json()["code"]) == (400, 400)
    assert answer.json()["message"]
    (line,) = asked.lines()
    assert (line["level"], line["message"], line["code"]) == ("warning", "not answered", 400)
    assert len(asked.stderr.getvalue()) < 1000


def _in_review(text: str, *, of: str) -> bytes:
    pod, _ = vmsingle()
    return json.dumps(_review(pod | {"metadata": pod["metadata"] | {of: "@here@"}})).replace('"@here@"', text).encode()


@pytest.mark.parametrize("of", ["name", "namespace", "labels", "annotations"])
@pytest.mark.parametrize("escape", ["\\ud800", "\\udfff", "a\\ud83dz"])
def test_a_lone_surrogate_anywhere_is_a_400(escape, of):
    text = f'"{escape}"' if of.startswith("name") else f'{{"a":"{escape}"}}'
    assert admission(vmsingle()[1]).ask("/mutate", _in_review(text, of=of)).status == 400
    key = f'{{"{escape}":"a"}}'
    assert admission(vmsingle()[1]).ask("/mutate", _in_review(key, of="labels")).status == 400


@pytest.mark.parametrize("field", ["uid", "namespace", "name", "operation", "kind"])
def test_a_lone_surrogate_in_what_is_logged_is_a_400(field):
    review = _review(vmsingle()[0], **{field: {"kind": "@here@"} if field == "kind" else "@here@"})
    body = json.dumps(review).replace("@here@", "\\udc00").encode()
    asked = admission([])
    assert asked.ask("/mutate", body).status == 400


def test_text_that_needs_care_is_logged_as_one_line_and_answered_as_it_came():
    pod, objects = vmsingle()
    odd = 'a\u0000\n\r\u2028\u2029\x1b[31m"\\ é😀'
    asked = admission(objects)
    answer = asked.ask("/mutate", json.dumps(_review(pod, uid=odd, name=odd)).encode())
    assert answer.status == 200
    assert answer.json()["response"]["uid"] == odd
    (line,) = asked.lines()
    assert line["uid"] == line["name"] == 'a? ?[31m"\\ é😀'
    assert b"\x1b" not in asked.stderr.getvalue()
    assert asked.stderr.getvalue().count(b"\n") == 1


@pytest.mark.parametrize("field", ["namespace", "name", "kind"])
def test_a_name_of_any_length_is_cut_in_the_log(field):
    """The longest name that an object may have is 253 characters."""
    for length in (253, 100_000):
        text = "n" * length
        asked = admission([])
        body = json.dumps(_review(vmsingle()[0], **{field: {"kind": text} if field == "kind" else text})).encode()
        assert asked.ask("/mutate", body).status == 200
        (line,) = asked.lines()
        assert line[field] == (text if length == 253 else f"{'n' * 252}…")


def test_of_two_keys_of_one_name_one_counts_and_nothing_fails():
    pod, objects = vmsingle()
    body = json.dumps(_review(pod)).encode()
    doubled = body.replace(b'"spec": {', b'"spec": 5, "spec": {').replace(b'"uid": "u"', b'"uid": 5, "uid": "u"')
    assert doubled.count(b'"spec"') == 2
    assert admission(objects).ask("/mutate", doubled).status in {200, 400}


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "0." + "1" * 5000, "1e" + "9" * 5000, "1e-999999"])
def test_a_huge_number_is_an_answer_or_a_400(number):
    pod, objects = vmsingle({}, {"securityContext": {"runAsUser": "@here@", "fsGroup": "@here@"}})
    body = json.dumps(_review(pod)).replace('"@here@"', number).encode()
    for webhook in ("/mutate", "/validate"):
        assert admission(objects).ask(webhook, body).status in {200, 400}


@pytest.mark.parametrize("thing", [None, {}, {"kind": "Pod"}, {"metadata": None}, [], "x", 5])
@pytest.mark.parametrize("operation", ["CREATE", "UPDATE", "DELETE", "CONNECT", "", "create"])
@pytest.mark.parametrize("kind", ["Pod", "VMSingle"])
def test_a_null_or_malformed_object_never_causes_an_internal_error(kind, operation, thing):
    group = "" if kind == "Pod" else "operator.victoriametrics.com"
    named = {"group": group, "version": "v1", "kind": kind}
    for old in (None, thing):
        body = json.dumps(_review(thing, named, operation=operation, oldObject=old)).encode()
        for webhook in ("/mutate", "/validate"):
            assert admission([]).ask(webhook, body).status in {200, 400}


@pytest.mark.parametrize("parts", [1, 200])
def test_a_body_over_the_limit_is_a_413_with_or_without_a_content_length(parts):
    whole = b" " * (MAX_BODY + 1)
    step = len(whole) // parts + 1
    body = [whole[at : at + step] for at in range(0, len(whole), step)]
    json_type = (b"content-type", b"application/json")
    for headers in ([json_type], [json_type, (b"content-length", b"%d" % len(whole))]):
        answer = admission([]).ask("/mutate", body, headers=headers)
        assert answer.status == 413
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH", "BREW", ""])
def test_every_method_but_post_is_a_405(method):
    answer = admission([]).ask("/mutate", b"{}", method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        b"10",
        b"-1s",
        b"1e3s",
        b"nan",
        b"inf",
        b"1s ",
        b"%ff%fe",
        b"1.2.3s",
        b"s",
        b"\xff",
        b"+1s",
        b"1S",
        b"%D9%A1s",
    ],
)
def test_a_timeout_that_is_no_duration_counts_as_none(value):
    assert time_allowed(b"timeout=" + value) == time_allowed(b"")


LONG = """
from webhook.server.admission_handler import time_allowed
for value in (b"1" * 60_000, b"1s" * 30_000, b"1." * 30_000, b"9" * 400 + b"h", b"1s1" * 20_000):
    assert 0 <= time_allowed(b"timeout=" + value) <= 30
"""


@pytest.mark.slow
def test_a_timeout_of_any_length_is_read_without_a_hang():
    """It once took time that grew with the square of its length: 16 s for 20,000 digits, minutes for these."""
    subprocess.run([sys.executable, "-c", LONG], check=True, timeout=PATIENCE, env=environment())


@pytest.mark.parametrize("query", [b"timeout", b"&&&==", b"timeout=5s&timeout=x", b"a=" * 20_000, b"%", b";timeout=1s"])
def test_a_query_of_any_shape_never_fails(query):
    pod, objects = vmsingle()
    assert admission(objects).ask("/mutate", json.dumps(_review(pod)).encode(), query=query).status == 200
