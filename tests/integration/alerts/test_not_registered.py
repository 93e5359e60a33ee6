"""VmguardNotRegistered fires on the metrics of a vmguard whose MutatingWebhookConfiguration was deleted."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.controlplane.api import wait_for
from tests.support.egress import egress_of
from tests.support.promtool import alert_test, only, promtool_says
from tests.support.release import ADMISSION, KINDS, release
from webhook.manifests.alerts import ALERTS

(ALERT,) = (each for each in ALERTS if each.name == "VmguardNotRegistered")
NAMES = {"vmguard_api_requests_total", "vmguard_webhook_ca_bundle_ok"}
"""The metrics that the alert reads."""

TARGET = {"namespace": "vmguard-system", "job": "vmguard"}
PATIENT = 8
"""Minutes that the configuration is missing, with a scrape a minute: longer than the alert waits."""


def _scrape(server):
    """The samples of the metrics, by their series."""
    found = {}
    for family in text_string_to_metric_families(server.operation("/metrics")[1]):
        for sample in (each for each in family.samples if each.name in NAMES):
            labels = ", ".join(f'{name}="{value}"' for name, value in sorted({**sample.labels, **TARGET}.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def _refused(samples):
    """How often vmguard looked for the configuration in vain, None for never."""
    wanted = ('code="404"', 'resource="mutatingwebhookconfigurations"', 'verb="get"')
    values = [value for series, value in samples.items() if all(each in series for each in wanted)]
    return values[0] if values else None


def _series(scrapes):
    """The series of promtool, one sample a minute. A series that a scrape lacks ends, as Prometheus marks it."""
    return {
        series: " ".join(f"{scrape[series]:g}" if series in scrape else "stale" for scrape in scrapes)
        for series in {series for scrape in scrapes for series in scrape}
    }


@pytest.fixture(scope="module")
def scrapes(plane, tmp_path_factory):
    """The metrics while the configuration is there, while it is missing, and after it was applied again."""
    with egress_of(plane) as egress, release(plane, egress, tmp_path_factory.mktemp("release")) as installation:
        installation.configure()
        server = installation.replica()
        installation.ready(server)
        installation.installed()
        before = _scrape(server)
        (mutating,) = (each for each in installation.manifests() if each["kind"] == KINDS[0])
        plane.api.delete(ADMISSION, KINDS[0], installation.name)
        missing = []
        while len(missing) < PATIENT:
            last = _refused(missing[-1]) if missing else 0.0
            missing.append(wait_for(lambda last=last: _after(server, last), "another reading of the configuration"))
        assert "[!]not-registered there is no MutatingWebhookConfiguration" in server.operation("/readyz?verbose")[1]
        assert server.operation("/readyz") == (200, "ok")
        plane.api.create(mutating)
        installation.installed()
        wait_for(lambda: "not-registered" not in server.operation("/readyz?verbose")[1], "the note to go")
        return before, missing, _scrape(server)


def _after(server, last):
    """The metrics of a vmguard that has looked in vain more often than that."""
    samples = _scrape(server)
    return samples if (_refused(samples) or 0.0) > last else None


def _fires(promtool, folder, minutes, at, *, fires):
    case = {"series": _series(minutes), "at": f"{at}m", "labels": TARGET, "description": ALERT.description}
    return promtool_says(promtool, folder, only(ALERT), [alert_test(ALERT, case, fires=fires)]) == ""


def test_it_fires_while_the_configuration_is_missing_and_ends_when_it_is_back(promtool, scrapes, tmp_path):
    """On what vmguard really showed, a scrape a minute."""
    before, missing, after = scrapes
    minutes = [before] * 5 + missing + [after] * 10
    assert _fires(promtool, tmp_path, minutes, 4, fires=False)
    assert _fires(promtool, tmp_path, minutes, 4 + PATIENT, fires=True)
    assert _fires(promtool, tmp_path, minutes, len(minutes) - 1, fires=False)


def test_it_is_silent_while_the_configuration_is_there(promtool, scrapes, tmp_path):
    before, _, _ = scrapes
    assert _fires(promtool, tmp_path, [before] * 20, 19, fires=False)
    assert not _fires(promtool, tmp_path, [before] * 20, 19, fires=True), "the comparison can fail"
