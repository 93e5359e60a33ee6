"""Any question to /dry-run gets an answer or a reason, whatever it holds."""

import json

import msgspec
import pytest

from tests.support.dry_run_questions import QUESTIONS
from tests.support.sample_pods import resource, vmsingle
from webhook.offline.answer import QuestionError, answer
from webhook.server import worker
from webhook.settings import Settings

VALUES = [None, True, 0, -1, 1e308, "x", "", "\0\n", [], {}, [None], {"a": None}]


def _asked(body):
    """The HTTP status of an answer, which must be one that can be sent."""
    try:
        msgspec.json.encode(answer(body, (), Settings.from_environment({}), 30))
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(("status", "body"), QUESTIONS.values(), ids=QUESTIONS)
def test_text_of_any_kind_gets_an_answer_or_a_reason(status, body):
    assert _asked(body) == status


def test_a_fault_of_the_worker_is_a_500_and_one_line_of_its_log(monkeypatch, capfd):
    """The client sees no trace, and the log names the fault."""

    def fail(*_):
        raise KeyError("no such place")

    monkeypatch.setattr("webhook.offline.answer.answer", fail)
    code, text = worker.dry_run(b"[]", ["30"], Settings())(b"{}")
    assert (code, json.loads(text)["message"]) == (500, "vmguard failed on this question; its log says why")
    (line,) = map(json.loads, capfd.readouterr().err.splitlines())
    assert (line["level"], line["message"], line["error"]) == ("error", "dry run failed", "KeyError('no such place')")
