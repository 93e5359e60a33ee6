"""docs/alerts.md describes the alerts of the table, each once."""

import re

import pytest

from tests.support.server import ROOT
from webhook.manifests.alerts import ALERTS, RUNBOOK, rule_groups
from webhook.telemetry.metrics import Metrics

PAGE = "docs/alerts.md"
SECTION = re.compile(r"^## (\w+)\n\n(\w+), ([\w ]+)\n\n    (.+)\n\n(?!#)\S", re.MULTILINE)


def _sections():
    text = (ROOT / PAGE).read_text()
    assert len(re.findall("^## ", text, re.MULTILINE)) == len(SECTION.findall(text)), "a section has another form"
    return SECTION.findall(text)


def test_the_page_has_a_section_for_each_alert_with_its_severity_time_and_expression():
    assert _sections() == [(each.name, each.severity, each.wait or "at once", each.expression) for each in ALERTS]


def test_the_runbook_of_each_alert_is_its_section():
    assert RUNBOOK.endswith(PAGE)
    anchors = [each["annotations"]["runbook_url"] for group in rule_groups() for each in group["rules"]]
    assert anchors == [f"{RUNBOOK}#{name.lower()}" for name, *_ in _sections()]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_metric_of_an_alert_exists(alert):
    """Metrics of the API server, which begin with its name, are checked against a real one elsewhere."""
    samples = set()
    for metric in Metrics().registry.collect():
        samples.add(metric.name + ("_total" if metric.type == "counter" else ""))
    named = set(re.findall(r"\b(?:vmguard|leader_election|process)_\w+", alert.expression))
    assert named <= samples
    assert named or "apiserver_admission_webhook_" in alert.expression
