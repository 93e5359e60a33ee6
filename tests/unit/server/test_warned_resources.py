"""A resource answered with warnings is logged and counted as `warned`, with its name and the first warnings."""

import json

from tests.support.asgi import admission
from tests.support.sample_pods import resource, vmsingle
from webhook.admission.admission_review import review_of
from webhook.policy.findings import Violation
from webhook.policy.wording import tally_of

PRIVILEGED = {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]}


def _answered(thing, objects, path):
    app = admission(objects)
    body = review_of(thing, uid="u", namespace="mon", name=thing["metadata"].get("name", ""))
    answer = app.ask(path, body)
    (line,) = [each for each in app.lines() if each["message"] == "admission"]
    return line, json.loads(answer.body)["response"], app.metrics


def _counted(metrics, outcome):
    return metrics.registry.get_sample_value(
        "vmguard_admission_requests_total", {"webhook": "validate", "outcome": outcome}
    )


def test_a_resource_answered_with_warnings_is_logged_with_them_and_counted_warned():
    line, response, metrics = _answered(resource("VMSingle", spec=PRIVILEGED), [], "/validate")
    assert (line["outcome"], line["workload"]) == ("warned", "VMSingle mon/db")
    assert line["warnings"] == response["warnings"][:5]
    assert "vmsingle: containers[vmsingle].securityContext.privileged is true" in line["warnings"][0]
    assert _counted(metrics, "warned") == 1


def test_a_resource_answered_without_warnings_is_unchanged():
    line, response, metrics = _answered(resource("VMSingle"), [], "/validate")
    assert (line["outcome"], line["workload"]) == ("unchanged", "VMSingle mon/db")
    assert "warnings" not in line
    assert "warnings" not in response
    assert _counted(metrics, "unchanged") == 1


def test_a_violation_in_the_log_has_its_field_and_its_container():
    thing, objects = vmsingle(None, PRIVILEGED)
    line, _, _ = _answered(thing, objects, "/validate")
    field = "spec.containers[0].securityContext.privileged (container 'vmsingle')"
    assert line["violations"][0] == f"{field}: a privileged container is root on the node"
    assert "warnings" not in line


def test_the_place_of_a_violation_is_bounded():
    path = "/spec/containers/0/securityContext/" + "x" * 5000
    violation = Violation("r", path, 1, 2, "why it is wrong", "a setting", container="y" * 5000)
    (text,) = tally_of((violation,)).violations
    assert len(text) <= 300
    assert text.endswith(": why it is wrong")
