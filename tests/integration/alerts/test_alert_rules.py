"""Prometheus's own promtool accepts the alerts; each fires where it should, and nowhere else."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.promtool import alert_test, only, promtool_says
from webhook.manifests.alerts import ALERTS, rule_groups

CASES = yaml.safe_load((Path(__file__).parent / "alert_cases.yaml").read_text())


def test_promtool_accepts_the_rules(promtool, tmp_path):
    assert promtool_says(promtool, tmp_path, rule_groups()) == ""


def test_promtool_refuses_a_wrong_expression(promtool, tmp_path):
    """So the test above can fail."""
    (group,) = rule_groups()
    wrong = [{**group, "rules": [{**group["rules"][0], "expr": "sum by (name) ("}]}]
    assert "could not parse expression" in promtool_says(promtool, tmp_path, wrong)


def test_each_alert_has_cases():
    assert list(CASES) == [alert.name for alert in ALERTS]
    for alert in ALERTS:
        assert bool(alert.wait) is ("not_yet" in CASES[alert.name]["fires"]), alert.name
        for case in CASES[alert.name].values():
            assert all(isinstance(values, str) for values in case["series"].values()), "0x10 is a number in YAML"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_fires_for_its_case_after_its_time(promtool, tmp_path, alert):
    """With the labels and the description that a person reads."""
    case = CASES[alert.name]["fires"]
    assert promtool_says(promtool, tmp_path, only(alert), [alert_test(alert, case, fires=True)]) == ""
    wrong = {**case, "description": f"{case['description']} And more."}
    assert promtool_says(promtool, tmp_path, only(alert), [alert_test(alert, wrong, fires=True)]), (
        "the comparison can fail"
    )


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_is_silent_where_all_is_well(promtool, tmp_path, alert):
    assert (
        promtool_says(promtool, tmp_path, only(alert), [alert_test(alert, CASES[alert.name]["silent"], fires=False)])
        == ""
    )


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_silent_case_has_the_metrics_of_the_alert(alert):
    """A case without them would be silent for any alert."""
    metrics = set(re.findall(r"\b(?:apiserver_admission|vmguard|leader_election)_\w+", alert.expression))
    named = {re.match(r"\w+", series)[0] for series in CASES[alert.name]["silent"]["series"]}
    assert metrics <= named


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("VmguardExemptNamespace", "vmguard_exempt_namespaces"),
        ("VmguardUnknownLabel", "vmguard_namespaces_with_unknown_label"),
    ],
)
def test_where_metrics_lose_their_namespace_label_the_namespace_is_still_named(promtool, tmp_path, name, metric):
    """Without `honorLabels` Prometheus gives the metric the namespace of vmguard, and renames its own label."""
    (alert,) = (each for each in ALERTS if each.name == name)
    case = {
        **CASES[alert.name]["fires"],
        "series": {f'{metric}{{namespace="vmguard-system", exported_namespace="shop"}}': "1x30"},
        "labels": {"namespace": "vmguard-system", "exported_namespace": "shop"},
    }
    assert promtool_says(promtool, tmp_path, only(alert), [alert_test(alert, case, fires=True)]) == ""


@pytest.mark.parametrize(
    ("name", "series"),
    [
        (
            "VmguardCallsFail",
            'apiserver_admission_webhook_rejection_count{name="pods.vmguard.io", error_type="calling_webhook_error",'
            ' rejection_code="503"}',
        ),
        ("VmguardPodsDenied", 'vmguard_admission_requests_total{namespace="a", job="vmguard", outcome="denied"}'),
    ],
)
def test_an_alert_goes_on_while_a_controller_retries_every_16_minutes(promtool, tmp_path, name, series):
    """A controller waits up to 1000 seconds, so most minutes have no rejection."""
    (alert,) = (each for each in ALERTS if each.name == name)
    values = " ".join(f"{count}x15" for count in range(20))
    case = {**CASES[name]["fires"], "series": {series: values}}
    case.pop("not_yet")
    tests = [alert_test(alert, {**case, "at": f"{minute}m"}, fires=True) for minute in range(100, 140)]
    assert promtool_says(promtool, tmp_path, rule_groups(), tests) == ""
    ended = {**case, "series": {series: "0+1x20 20x60"}}
    assert promtool_says(promtool, tmp_path, only(alert), [alert_test(alert, {**ended, "at": "19m"}, fires=True)]) == ""
    assert (
        promtool_says(promtool, tmp_path, only(alert), [alert_test(alert, {**ended, "at": "43m"}, fires=False)]) == ""
    )
