"""The files of the Helm chart that are written by hand agree with vmguard's tables and with each other."""

import json
from typing import get_args

import pytest
import yaml

from tests.support.server import ROOT
from webhook.manifests.chart import VALUES, setting_variables, webhook_entries
from webhook.manifests.installation import VERSION
from webhook.manifests.webhooks import Service, staged
from webhook.settings import SETTINGS, Settings

CHART = ROOT / "deploy" / "chart"
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_the_chart_has_the_version_of_vmguard():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == VERSION
    (image,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert image["image"] == f"vmguard:{VERSION}"


def _spelt(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(("value", "field"), VALUES.items())
def test_a_setting_has_its_default_and_its_allowed_values(value, field):
    """But the mode, which is `audit` in everything that is installed."""
    usual = "audit" if field == "mode" else _spelt(getattr(Settings(), field))
    assert _spelt(DEFAULTS[value]) == usual
    schema = SCHEMA["properties"][value]
    kind = get_args(Settings.__annotations__[field])[0]
    allowed = set(get_args(kind))
    texts = {each for each in schema.get("enum", ()) if isinstance(each, str)}
    assert texts == allowed if allowed else schema == {"type": "boolean"}


def test_each_setting_is_a_variable_that_vmguard_reads():
    known = {each.name for each in SETTINGS.values()}
    assert {each["variable"] for each in setting_variables()["settings"]} <= known


def test_the_entries_with_what_differs_in_a_trial_are_those_of_a_trial():
    """As the template puts them together."""
    made = webhook_entries()
    target = Service("{{ .namespace }}", "{{ .service }}")
    for key, wanted in zip(("mutating", "validating"), staged(target, trial=True), strict=True):
        assert [{**each, **made["trial"].get(each["name"], {})} for each in made[key]] == wanted["webhooks"]


def _shapes(schema, value, path=""):
    """Each part of the schema that has properties, with the part of values.yaml that it describes."""
    if "properties" in schema:
        yield path, schema, value
        for key, inner in schema["properties"].items():
            yield from _shapes(inner, value.get(key, {}) if isinstance(value, dict) else {}, f"{path}/{key}")


OPEN = {"/global", "/global/image"}
"""Shared with other charts of a parent."""

NOT_HERE = {"/enabled", "/certManager/issuerRef/name", "/certManager/issuerRef/kind", "/certManager/issuerRef/group"}
"""In the schema alone: the condition of a parent chart, and what has no default."""


def test_the_schema_is_closed_and_has_every_value():
    for path, schema, value in _shapes(SCHEMA, DEFAULTS):
        assert schema.get("additionalProperties", True) is (path in OPEN), path
        assert set(value) <= schema["properties"].keys()
        missing = {f"{path}/{key}" for key in schema["properties"].keys() - set(value)}
        assert missing <= NOT_HERE
