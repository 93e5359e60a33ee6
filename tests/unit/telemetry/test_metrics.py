"""What is counted and timed is exposed under the documented names."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from webhook.settings import Settings
from webhook.telemetry.metrics import Children, Metrics


def test_a_counter_is_counted_through_its_cached_children():
    metrics = Metrics()
    children = Children(metrics.requests)
    children["mutate", "patched"].inc()
    children["mutate", "patched"].inc(2)
    assert children["mutate", "patched"] is children["mutate", "patched"]
    labels = {"webhook": "mutate", "outcome": "patched"}
    assert metrics.registry.get_sample_value("vmguard_admission_requests_total", labels) == 3
    assert b'vmguard_admission_requests_total{outcome="patched",webhook="mutate"} 3.0' in metrics.text()


def test_durations_are_exposed_as_a_histogram_without_the_time_of_its_creation():
    metrics = Metrics()
    times = metrics.duration.labels("mutate")
    for _ in range(1234):
        times.observe(0.5)
    times.observe(0.51)
    times.observe(100)
    name = "vmguard_admission_duration_seconds"
    asked = {"webhook": "mutate"}
    value = metrics.registry.get_sample_value
    assert value(f"{name}_count", asked) == 1236
    assert value(f"{name}_sum", asked) == 617 + 100.51
    within = [value(f"{name}_bucket", {**asked, "le": bound}) for bound in ("0.25", "0.5", "1.0", "10.0", "+Inf")]
    assert within == [0, 1234, 1235, 1235, 1236]
    assert value(f"{name}_created", asked) is None
    assert f"{name}_created".encode() not in metrics.text()


@pytest.mark.parametrize(
    ("accept", "parse", "content_type"),
    [
        ("", prometheus_text, "text/plain"),
        ("*/*", prometheus_text, "text/plain"),
        ("text/plain;version=0.0.4", prometheus_text, "text/plain"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", open_metrics, "application/openmetrics-text"),
        ("nonsense; q=\xff", prometheus_text, "text/plain"),
    ],
)
def test_the_format_is_that_which_the_client_prefers(accept, parse, content_type):
    metrics = Metrics()
    metrics.requests.labels("mutate", "patched").inc()
    text, said = metrics.exposition(accept)
    assert said.startswith(content_type)
    families = {family.name for family in parse(text.decode())}
    assert "vmguard_tasks" in families


def test_no_metric_has_the_time_of_its_creation():
    metrics = Metrics()
    metrics.requests.labels("mutate", "patched").inc()
    metrics.duration.labels("mutate").observe(1)
    for accept in ("", "application/openmetrics-text;version=1.0.0"):
        assert b"_created" not in metrics.exposition(accept)[0]


def test_the_settings_are_shown_as_the_environment_has_them():
    metrics = Metrics()
    settings = Settings.from_environment({"VMGUARD_MODE": "audit", "VM_ENABLESTRICTSECURITY": "false"})
    metrics.show_settings(settings)
    text = metrics.text().decode()
    (line,) = (line for line in text.splitlines() if line.startswith("vmguard_config_info{"))
    assert 'mode="audit"' in line
    assert 'strict_security="false"' in line
