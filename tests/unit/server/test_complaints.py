"""Log lines about clients are few, however many there are to write."""

import io
import json

from webhook.server.complaints import Complaints
from webhook.telemetry.line_budget import AT_ONCE, RATE
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics


def test_some_lines_come_at_once_then_few_and_none_is_lost_from_the_count():
    now, stream, metrics = [0.0], io.BytesIO(), Metrics()
    complaints = Complaints(Log("info", stream), metrics, "webhook", lambda: now[0])
    for _ in range(1000):
        complaints.note("invalid", "no HTTP")
    complaints.note("full", "another reason has lines of its own")
    now[0] = 1 / RATE
    complaints.note("invalid", "no HTTP")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["no HTTP"] * AT_ONCE + [
        "another reason has lines of its own",
        "no HTTP",
    ]
    assert lines[-1]["left_out"] == 1000 - AT_ONCE
    assert lines[-1]["listener"] == "webhook"
    assert b'vmguard_connections_ended_total{listener="webhook",reason="invalid"} 1001.0' in metrics.text()
