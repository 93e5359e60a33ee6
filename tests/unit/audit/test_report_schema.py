"""The schema of the report is the one that the repository has."""

import json

import pytest

from tests.support.audit_schema import FILE, schema
from tests.support.server import ROOT
from webhook.audit.report import MEANING, VERDICTS


def test_the_schema_is_made_from_the_types():
    """To make it again: `python -m tests.support.audit_schema`."""
    assert json.loads(FILE.read_text()) == schema()


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_documented(verdict):
    assert f"| `{verdict}` | {MEANING[verdict]}" in (ROOT / "docs" / "audit.md").read_text()
