"""A tenant with many requests drowns no log line of another."""

import json

from tests.support.admission_reviews import pod_review
from tests.support.asgi import admission
from tests.support.sample_pods import vmsingle
from webhook.telemetry import namespace_lines as module
from webhook.telemetry.namespace_lines import AT_ONCE, MOST_NAMESPACES, RATE, NamespaceLines


def test_lines_beyond_the_budget_are_left_out_and_counted():
    """Another namespace, and the warnings of the same one, have their own budgets."""
    now = 0.0
    lines = NamespaceLines(lambda: now)
    assert [lines.take("attacker", "info") for _ in range(int(AT_ONCE) + 50)] == [0] * int(AT_ONCE) + [None] * 50
    assert lines.take("attacker", "warning") == 0
    assert lines.take("victim", "info") == 0
    now = 1.5 / RATE
    assert [lines.take("attacker", "info") for _ in range(2)] == [50, None]


def test_the_number_of_counted_namespaces_is_limited():
    lines = NamespaceLines(lambda: 0.0)
    for number in range(2 * MOST_NAMESPACES):
        assert lines.take(f"invented-{number}", "info") == 0
    assert len(lines._lines) == MOST_NAMESPACES


def test_namespaces_that_are_invented_count_as_one(monkeypatch):
    """A client that sends reviews itself can name any number of them, and none of their objects is found."""
    monkeypatch.setattr(module, "AT_ONCE", 3.0)
    monkeypatch.setattr(module, "RATE", 1e-9)
    pod, objects = vmsingle()
    asked = admission(objects)
    for number in range(20):
        asked.ask("/mutate", json.dumps(pod_review(pod, namespace=f"invented-{number}")).encode())
    assert len(asked.lines()) == 3
    assert asked.ask("/mutate", json.dumps(pod_review(pod)).encode()).status == 200
    assert len(asked.lines()) == 4


def test_a_decision_without_a_line_is_answered_and_counted(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 2.0)
    monkeypatch.setattr(module, "RATE", 1e-9)
    pod, objects = vmsingle()
    asked = admission(objects)
    review = json.dumps(pod_review(pod)).encode()
    for _ in range(5):
        assert asked.ask("/mutate", review).status == 200
    assert len(asked.lines()) == 2
    labels = {"webhook": "mutate", "outcome": "patched"}
    assert asked.metrics.registry.get_sample_value("vmguard_admission_requests_total", labels) == 5
