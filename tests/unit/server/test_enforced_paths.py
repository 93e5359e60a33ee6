"""A request on an enforced path is judged with deny: the entry's namespaceSelector has read the namespace's labels."""

import json

import pytest

from tests.support.asgi import admission
from tests.support.sample_pods import UNREACHABLE, Answers, decide, patched, vmsingle
from webhook.admission.admission_review import review_of
from webhook.facts import NEWEST_MINOR

WEAK = vmsingle(None, {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]})
PATHS = {"mutate": "/mutate/enforced", "validate": "/validate/enforced"}


def _review(pod):
    return review_of(pod, uid="u", namespace="mon", name="db-0")


@pytest.mark.parametrize("webhook", PATHS)
@pytest.mark.parametrize("enforce", ["off", "warn", "deny"])
@pytest.mark.parametrize("watched", ["", "mon"])
def test_a_weak_pod_is_denied_without_a_lookup_of_its_namespace(webhook, enforce, watched):
    asked = admission([], VMGUARD_ENFORCE=enforce, WATCH_NAMESPACE=watched)
    asked.app._source = Answers({"Namespace": UNREACHABLE}, WEAK[1], NEWEST_MINOR)
    response = asked.ask(PATHS[webhook], _review(WEAK[0])).json()["response"]
    assert response["allowed"] is False
    assert response["status"]["message"].startswith("not compliant: ")
    assert json.loads(response["auditAnnotations"]["findings"])
    (line,) = asked.lines()
    assert (line["outcome"], line["webhook"], line["level"]) == ("denied", webhook, "warning")
    assert "Namespace" not in line["facts"]
    labels = {"webhook": webhook, "outcome": "denied"}
    assert asked.metrics.registry.get_sample_value("vmguard_admission_requests_total", labels) == 1


def test_a_pod_that_can_be_filled_is_filled_and_then_allowed():
    pod, objects = vmsingle()
    asked = admission(objects)
    filled = patched(pod, decide(pod, objects, minor=30))
    assert "patch" in asked.ask(PATHS["mutate"], _review(pod)).json()["response"]
    assert asked.ask(PATHS["validate"], _review(pod)).json()["response"]["allowed"] is False
    assert asked.ask(PATHS["validate"], _review(filled)).json()["response"]["allowed"] is True


@pytest.mark.parametrize("webhook", PATHS)
def test_the_cache_keeps_the_decisions_of_both_paths_apart(webhook):
    asked = admission(WEAK[1])
    general, enforced = f"/{webhook}", PATHS[webhook]
    allowed = [
        asked.ask(path, _review(WEAK[0])).json()["response"]["allowed"]
        for path in (general, enforced, general, enforced, general)
    ]
    assert allowed == [True, False, True, False, True]


@pytest.mark.parametrize("path", PATHS.values())
def test_in_audit_mode_nothing_is_denied(path):
    asked = admission(WEAK[1], VMGUARD_MODE="audit")
    response = asked.ask(path, _review(WEAK[0])).json()["response"]
    assert response["allowed"] is True
    assert "patch" not in response
    assert response["auditAnnotations"]["decision"].startswith("would-deny: not compliant: ")


MODE_PATHS = {
    "/mutate/mode-enforce": "patched",
    "/mutate/mode-enforce/enforced": "denied",
    "/validate/mode-enforce": "warned",
    "/validate/mode-enforce/enforced": "denied",
}


@pytest.mark.parametrize("path", MODE_PATHS)
@pytest.mark.parametrize("mode", ["audit", "enforce"])
def test_on_the_path_of_a_namespace_with_the_label_the_mode_is_enforce(path, mode):
    """Whatever VMGUARD_MODE is, and after the same pod was asked about on the path of other namespaces."""
    asked = admission(WEAK[1], VMGUARD_MODE=mode)
    general = f"/{path.split('/')[1]}"
    before = asked.ask(general, _review(WEAK[0])).json()["response"]["auditAnnotations"]["decision"]
    for _ in range(2):
        decision = asked.ask(path, _review(WEAK[0])).json()["response"]["auditAnnotations"]["decision"]
        assert decision.partition(":")[0] == MODE_PATHS[path]
        assert asked.ask(general, _review(WEAK[0])).json()["response"]["auditAnnotations"]["decision"] == before


@pytest.mark.parametrize("path", [*PATHS.values(), "/mutate/", "/mutate/other", "/mutate/enforced/"])
def test_an_enforced_path_takes_reviews_only_and_no_other_path_is_one(path):
    asked = admission([])
    status = asked.ask(path, b"{}").status
    assert status == (400 if path in PATHS.values() else 404)
    assert asked.ask(path, method="GET").status == (405 if path in PATHS.values() else 404)
