"""Each series that an alert watches with `increase` or `rate` is there before its first event."""

import re

import pytest
from prometheus_client import generate_latest

from webhook.manifests.alerts import ALERTS
from webhook.telemetry.metrics import Metrics

SELECTOR = re.compile(r"(vmguard_\w+_total)\{(\w+)=(~?)\"([^\"]*)\"[^}]*\}")
WATCHED = sorted(
    {
        (metric, label, value)
        for alert in ALERTS
        for metric, label, regex, values in SELECTOR.findall(alert.expression)
        if metric != "vmguard_api_requests_total"
        for value in (values.split("|") if regex else [values])
    }
)
"""Series of requests to the API server have too many labels to be there at first; those alerts see them go on."""


def test_the_alerts_watch_some_series():
    assert ("vmguard_admission_requests_total", "outcome", "refused") in WATCHED
    assert len(WATCHED) > 8


@pytest.mark.parametrize(("metric", "label", "value"), WATCHED)
def test_it_starts_at_zero(metric, label, value):
    lines = generate_latest(Metrics().registry).decode().splitlines()
    found = [line for line in lines if line.startswith(f"{metric}{{") and f'{label}="{value}"' in line]
    assert found
    assert all(line.endswith(" 0.0") for line in found)
