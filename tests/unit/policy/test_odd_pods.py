"""A recorded pod with a value of a wrong type is refused with its place, or gets a patch that applies."""

import copy
import json

import jsonpatch
import msgspec
import pytest

from tests.support.golden import CASES
from tests.support.sample_pods import LABELS, admitted
from webhook.admission.admission_review import ReviewError
from webhook.offline.file_facts import FileFacts
from webhook.settings import Settings

ODD = (None, True, 0, -1, 1.5, "x", "", [], {}, [None], {"a": None})
STRICT = [case for case in CASES if case.category == "strict+token"][::9]


def _paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*path, key))


def _replaced(review, path, odd):
    changed = copy.deepcopy(review)
    parent = changed["request"]["object"]
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = odd
    return changed


def _decision(review, source, settings):
    return admitted(json.dumps(review).encode(), source, settings)[0]


@pytest.mark.slow
@pytest.mark.parametrize("case", STRICT, ids=lambda case: case.path.name)
def test_a_value_of_a_wrong_type_is_refused_or_the_patch_applies_and_is_enough(case):
    review, source = json.loads(case.review), FileFacts(case.objects, 37)
    settings = Settings.from_environment(case.settings)
    pod = review["request"]["object"]
    pod["metadata"].pop("managedFields", None)
    answered = refused = 0
    for path in (path for path in _paths(pod) if path and path[:2] not in {("spec", "tolerations"), ("status",)}):
        for odd in ODD:
            changed = _replaced(review, path, odd)
            try:
                decision = _decision(changed, source, settings)
            except ReviewError:
                refused += 1
                continue
            answered += 1
            if decision.patch:
                after = jsonpatch.apply_patch(changed["request"]["object"], msgspec.to_builtins(decision.patch))
                changed["request"]["object"] = after
                assert not _decision(changed, source, settings).patch, (path, odd)
    assert answered > 100
    assert refused > 50


@pytest.mark.parametrize(
    ("pod", "says"),
    [
        ({}, "spec"),
        ({"spec": {"containers": [{"name": "a"}] * 1001}}, "1001 containers are too many: at most 1000"),
        ({"spec": {"containers": [], "volumes": [{"name": "a"}] * 2001}}, "2001 volumes are too many: at most 2000"),
        (
            {"spec": {"containers": [{"name": "a", "volumeMounts": [{"name": "a", "mountPath": "/a"}] * 20_001}]}},
            "20001 mounts are too many: at most 20000",
        ),
        ({"spec": None}, "spec is null but must be an object"),
        ({"spec": {"containers": [{"name": "a", "securityContext": {"capabilities": "x"}}]}}, "capabilities"),
    ],
)
def test_a_shape_that_no_pod_has_is_refused_with_its_place(pod, says):
    labelled = {**pod, "metadata": {"labels": LABELS}}
    request = {"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE"}
    request["object"] = labelled
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    with pytest.raises(ReviewError, match=says.replace("$", r"\$")):
        _decision(review, FileFacts([], 37, complete=False), Settings())
    decision = _decision(review, FileFacts([], 37), Settings())
    assert decision.outcome == "unmanaged", "what is in nobody's pod is nobody's problem"


def test_a_null_label_is_an_empty_one():
    metadata = {"name": "p", "labels": {"managed-by": None}, "annotations": {"kubernetes.io/psp": None}}
    request = {"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE"}
    request["object"] = {"metadata": metadata, "spec": {"containers": []}}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    assert _decision(review, FileFacts([], 37), Settings()).outcome == "unmanaged"
