"""Counts and durations take a short way to their metrics, which nobody who reads can see."""

from webhook.telemetry.metrics import Metrics


def test_whoever_reads_sees_all_that_was_counted():
    metrics = Metrics()
    tally = metrics.tally(metrics.requests)
    tally["mutate", "patched"] += 1
    tally["mutate", "patched"] += 2
    labels = {"webhook": "mutate", "outcome": "patched"}
    assert metrics.registry.get_sample_value("vmguard_admission_requests_total", labels) == 3
    tally["mutate", "patched"] += 1
    assert b'vmguard_admission_requests_total{outcome="patched",webhook="mutate"} 4.0' in metrics.text()


def test_whoever_reads_sees_all_that_was_timed():
    metrics = Metrics()
    times = metrics.times(metrics.duration, "mutate")
    for _ in range(1234):
        times.add(0.5)
    name = "vmguard_admission_duration_seconds"
    assert metrics.registry.get_sample_value(f"{name}_count", {"webhook": "mutate"}) == 1234
    assert metrics.registry.get_sample_value(f"{name}_sum", {"webhook": "mutate"}) == 617
