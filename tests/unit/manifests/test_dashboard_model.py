"""Grafana's own model accepts the dashboard, and each of its panels has a description."""

import json
import re

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from webhook.manifests.dashboard import ROWS, dashboard, text
from webhook.telemetry.metrics import Metrics

PANELS = [panel for row in ROWS for panel in row.panels]


def _differences(ours, theirs, place=""):
    """Where the model has lost or changed what we wrote; what the model adds are its defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from _differences(value, theirs.get(key), f"{place}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(one, other, f"{place}[{index}]")
    elif ours != theirs:
        yield f"{place}: {ours!r} became {theirs!r}"


def test_grafanas_model_has_all_that_the_dashboard_says():
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(text()))))
    assert list(_differences(dashboard(), read)) == []


def test_panels_do_not_overlap_and_fit():
    taken = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_ids_and_titles_are_unique():
    panels = dashboard()["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    assert len({each["title"] for each in panels}) == len(panels)


def test_each_panel_says_what_it_shows():
    assert all(each.about.endswith(".") and each.queries for each in PANELS)


def test_queries_read_metrics_that_vmguard_has():
    known = set()
    for metric in Metrics().registry.collect():
        known |= {metric.name, f"{metric.name}_total", f"{metric.name}_bucket"}
    for panel in PANELS:
        for query in panel.queries:
            read = set(re.findall(r"vmguard_\w+", query.expression))
            assert read <= known, panel.title
