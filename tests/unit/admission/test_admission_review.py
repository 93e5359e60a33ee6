"""An answer is one whole AdmissionReview, whatever it holds."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.admission.admission_review import API_VERSIONS, decode, encode
from webhook.admission.patch import Operation, encoded

TEXT = st.text(st.characters(exclude_categories=("Cs",)))


def _review(version=API_VERSIONS[0], uid="u"):
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    request = {"uid": uid, "kind": kind, "operation": "CREATE"}
    return decode(json.dumps({"apiVersion": version, "kind": "AdmissionReview", "request": request}).encode())


@pytest.mark.parametrize("version", API_VERSIONS)
def test_an_answer_without_anything_is_a_whole_review(version):
    assert json.loads(encode(_review(version), allowed=True)) == {
        "apiVersion": version,
        "kind": "AdmissionReview",
        "response": {"uid": "u", "allowed": True},
    }


@given(uid=TEXT, message=TEXT, warnings=st.lists(TEXT), annotations=st.dictionaries(TEXT, TEXT), facts=TEXT)
def test_every_text_of_an_answer_arrives_as_it_was(uid, message, warnings, annotations, facts):
    answer = encode(
        _review(uid=uid),
        allowed=False,
        message=message,
        patch=encoded((Operation("add", f"/{message}", uid),)),
        warnings=tuple(warnings),
        annotations=annotations,
        facts=facts,
    )
    response = json.loads(answer)["response"]
    assert response["uid"] == uid
    assert response["status"]["message"] == message
    assert json.loads(base64.b64decode(response["patch"])) == [{"op": "add", "path": f"/{message}", "value": uid}]
    assert response.get("warnings", []) == warnings
    assert response.get("auditAnnotations", {}) == {**annotations, **({"facts": facts} if facts else {})}
