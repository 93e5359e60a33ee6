"""Prometheus's promtool: it checks rules, and evaluates alerts over series."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.patience import PATIENCE
from webhook.manifests.alerts import RUNBOOK, Alert, rule_groups


def promtool_says(
    promtool: Path, folder: Path, groups: list[dict[str, Any]], tests: list[dict[str, Any]] | None = None
) -> str:
    """What promtool says against rules, or against tests of rules; "" for nothing."""
    (folder / "alerts.yaml").write_text(yaml.safe_dump({"groups": groups}))
    arguments = ["check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml"]
    if tests is not None:
        text = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests}
        (folder / "tests.yaml").write_text(yaml.safe_dump(text))
        arguments = ["test", "rules", "tests.yaml"]
    command = [str(promtool), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=PATIENCE, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def only(alert: Alert) -> list[dict[str, Any]]:
    """The group with one alert: an evaluation of all of them a minute takes long over two weeks."""
    (group,) = rule_groups()
    return [{**group, "rules": [alert.rule()]}]


def alert_test(alert: Alert, case: dict[str, Any], *, fires: bool) -> dict[str, Any]:
    """A case in the form of promtool."""
    expected = {
        "exp_labels": {"severity": alert.severity, **case.get("labels", {})},
        "exp_annotations": {
            "summary": alert.summary,
            "description": case.get("description", ""),
            "runbook_url": f"{RUNBOOK}#{alert.name.lower()}",
        },
    }
    times = [(case["at"], [expected] if fires else []), *([(case["not_yet"], [])] if "not_yet" in case else [])]
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case["series"].items()],
        "alert_rule_test": [
            {"eval_time": time, "alertname": alert.name, "exp_alerts": alerts} for time, alerts in times
        ],
    }
