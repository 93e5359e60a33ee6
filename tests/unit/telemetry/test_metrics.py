"""What is counted and timed is exposed under the documented names."""

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
