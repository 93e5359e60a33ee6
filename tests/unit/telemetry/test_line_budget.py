"""Lines that a client can cause are few, and each says how many were left out before it."""

import io
import json
import logging

import pytest

from tests.support.asgi import JSON, admission
from tests.support.sample_pods import vmsingle
from webhook.telemetry.line_budget import AT_ONCE, RATE, LineBudget
from webhook.telemetry.log import Handler, Log

REQUESTS = 500


def test_each_reason_has_lines_of_its_own_and_the_next_one_counts_those_left_out():
    now = [0.0]
    budget = LineBudget(lambda: now[0])
    assert [budget.take("a") for _ in range(AT_ONCE + 3)] == [0] * AT_ONCE + [None] * 3
    assert budget.take("b") == 0
    now[0] = 1 / RATE
    assert (budget.take("a"), budget.take("a")) == (3, None)
    now[0] = 1e6
    assert [budget.take("a") for _ in range(AT_ONCE + 1)] == [1, *[0] * (AT_ONCE - 1), None]


BAD_REQUESTS = {
    "broken JSON": (400, b"{", JSON),
    "no review": (400, b"{}", JSON),
    "another type": (415, b"{}", ((b"content-type", b"text/plain"),)),
    "a length that is none": (400, b"", (*JSON, (b"content-length", b"x"))),
}


@pytest.mark.parametrize("what", BAD_REQUESTS)
def test_bad_requests_leave_few_lines_and_are_all_counted(what):
    status, body, headers = BAD_REQUESTS[what]
    app = admission(vmsingle()[1])
    assert {app.ask("/mutate", body, headers=headers).status for _ in range(REQUESTS)} == {status}
    lines = app.lines()
    assert len(lines) <= AT_ONCE + 5  # some more where the machine is slow
    assert {line["message"] for line in lines} == {"not answered"}
    assert f'outcome="bad_request",webhook="mutate"}} {REQUESTS}.0' in app.metrics.text().decode()


def test_what_a_library_logs_in_one_place_leaves_few_lines():
    stream = io.BytesIO()
    library = logging.getLogger("library")
    library.addHandler(handler := Handler(Log("info", stream)))
    try:
        for number in range(REQUESTS):
            library.warning("client %d did something", number)
        library.warning("another place")
    finally:
        library.removeHandler(handler)
    lines = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert len(lines) <= AT_ONCE + 5
    assert lines[-1] == "another place"
