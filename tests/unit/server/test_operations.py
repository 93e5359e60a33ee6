"""What the operations listener reads of the state for an answer."""

import asyncio

import pytest

from webhook.server.lifecycle import State
from webhook.server.operations import Operations
from webhook.telemetry.metrics import Metrics


def _answer(query, *, ready):
    """Status and text of `/readyz`, and how often the notes were made."""
    made, sent = [], []

    def notes():
        made.append("notes")
        return {"survey": "trouble"}

    async def send(message):
        sent.append(message)

    state = State(ready=ready, notes=notes)
    scope = {"type": "http", "method": "GET", "path": "/readyz", "query_string": query, "headers": []}
    asyncio.run(Operations(Metrics(), state)(scope, None, send))
    return sent[0]["status"], sent[1]["body"].decode(), len(made)


def test_a_probe_of_a_ready_server_costs_no_notes():
    """Everybody who can connect may send any number of them, on the event loop that admissions need."""
    assert _answer(b"", ready=True) == (200, "ok", 0)


@pytest.mark.parametrize(("query", "ready", "status"), [(b"verbose", True, 200), (b"", False, 503)])
def test_an_answer_that_says_why_has_the_notes(query, ready, status):
    code, text, made = _answer(query, ready=ready)
    assert (code, made) == (status, 1)
    assert "[!]survey trouble" in text
