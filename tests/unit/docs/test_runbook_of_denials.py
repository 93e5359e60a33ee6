"""A denial has a link to the section of the documentation that says what to do."""

import json
import re

from tests.support.asgi import admission
from tests.support.sample_pods import resource
from tests.support.server import ROOT
from webhook.admission.admission_review import review_of
from webhook.manifests.alerts import RUNBOOK as ALERTS_PAGE
from webhook.policy.wording import RUNBOOK


def test_the_linked_page_has_the_linked_section():
    address, _, anchor = RUNBOOK.partition("#")
    page = "docs/" + address.rpartition("/")[2]
    assert address.rpartition("/")[0] == ALERTS_PAGE.rpartition("/")[0]
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_a_denial_ends_with_the_link_and_an_allowed_request_has_none():
    impossible = resource("VMSingle", spec={"securityContext": {"runAsNonRoot": True, "runAsUser": 0}})
    for thing, allowed in ((impossible, False), (resource("VMSingle"), True)):
        body = review_of(thing, uid="u", namespace="mon", name="db")
        response = json.loads(admission([]).ask("/validate", body).body)["response"]
        assert response["allowed"] is allowed
        message = response.get("status", {}).get("message", "")
        assert message.endswith(f"correct it (what to do: {RUNBOOK})") is not allowed
