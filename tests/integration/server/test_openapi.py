"""A real server answers as its OpenAPI description says, to requests that it allows and to others."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.controlplane.api import wait_for
from tests.support.golden import CASES
from tests.support.sample_pods import resource, vmsingle
from tests.support.server import serving
from webhook.server.openapi import description

PROMISED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("described"), vmsingle()[1]) as running:
        yield running


described = schemathesis.openapi.from_dict(description())


@described.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_description_names(case, server):
    case.call_and_validate(base_url=server.url, verify=server.ca, checks=PROMISED)


def test_what_is_served_is_this_description(server):
    assert server.ask("GET", "/openapi.json")[2] == json.loads(json.dumps(description()))


def _media(path):
    return description()["paths"][path]["post"]["requestBody"]["content"]


QUESTIONS = [
    *(media["example"] for media in _media("/dry-run").values()),
    {"pod": vmsingle()[0], "objects": vmsingle({"disableAutomountServiceAccountToken": True})[1]},
    {"pod": vmsingle(None, {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]})[0]},
    resource("VMCluster", spec={"vmselect": {}, "podSecurityPolicyName": "x"}),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_to_a_good_question_is_as_described(server, question):
    case = described["/dry-run"]["POST"].Case(body=question, media_type="application/json")

    def response():
        """The answer, once the worker is not too slow for it."""
        found = case.call_and_validate(base_url=server.url, verify=server.ca, checks=PROMISED)
        return found.status_code != 429 and found

    assert wait_for(response, "an answer").status_code == 200


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
def test_an_answer_to_a_recorded_review_is_as_described(server, path):
    case = described[path]["POST"].Case(body=json.loads(CASES[0].review), media_type="application/json")
    response = case.call_and_validate(base_url=server.url, verify=server.ca, checks=PROMISED)
    assert response.status_code == 200
