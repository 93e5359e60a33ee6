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
    times = metrics.duration.of("mutate")
    for _ in range(1234):
        times.add(0.5)
    times.add(0.51)
    times.add(100)
    name = "vmguard_admission_duration_seconds"
    asked = {"webhook": "mutate"}
    value = metrics.registry.get_sample_value
    assert value(f"{name}_count", asked) == 1236
    assert value(f"{name}_sum", asked) == 617 + 100.51
    within = [value(f"{name}_bucket", {**asked, "le": bound}) for bound in ("0.25", "0.5", "1.0", "10.0", "+Inf")]
    assert within == [0, 1234, 1235, 1235, 1236]
