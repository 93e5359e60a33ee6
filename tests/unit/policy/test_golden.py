"""Every recorded pod becomes the pod that the newest operator makes."""

import json
from base64 import b64decode

import jsonpatch
import pytest

from tests.support.golden import CASES, Case, expected, projection
from tests.support.sample_pods import admitted
from webhook.admission.admission_review import decode, encode
from webhook.offline.file_facts import FileFacts
from webhook.policy.wording import facts_line
from webhook.settings import Settings


def _answer(case: Case, body: bytes):
    review = decode(body)
    source = FileFacts(case.objects, 37)
    settings = Settings.from_environment(case.settings)
    decision, looked_up = admitted(body, source, settings)
    allowed, patch, annotations = decision.allowed, decision.encoded_patch, decision.annotations
    facts = facts_line(looked_up)
    answer = encode(review, allowed=allowed, patch=patch, annotations=annotations, facts=facts)
    return json.loads(answer)["response"]


def test_no_recorded_case_is_lost():
    assert len(CASES) >= 128


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_the_pod_is_the_one_that_the_operator_makes(case: Case):
    """The patch turns the recorded pod into the oracle's, and a second review has none."""
    response = _answer(case, case.review)
    review = json.loads(case.review)
    assert response["uid"] == review["request"]["uid"]
    assert response["allowed"] is True
    if case.category in {"idempotent", "unmanaged"}:
        assert "patch" not in response
        assert "patchType" not in response
    operations = json.loads(b64decode(response.get("patch", b"W10=")))
    after = jsonpatch.apply_patch(review["request"]["object"], operations)
    assert projection(after) == {**expected(case), **_without_false_read_only(after)}
    review["request"]["object"] = after
    assert "patch" not in _answer(case, json.dumps(review).encode())


def _without_false_read_only(after):
    shown = projection(after)
    for group in ("containers", "initContainers"):
        for container in shown[group].values():
            if container["apiMount"]:
                assert container["apiMount"].get("readOnly") in {None, True}
    return {}
