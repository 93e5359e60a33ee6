"""The schema of the report is the one that the repository has."""

import json

import msgspec
import pytest

from tests.support.server import ROOT
from webhook.audit.report import MEANING, VERDICTS, AuditReport

SCHEMA = ROOT / "docs" / "schema" / "audit.json"


def test_the_schema_is_made_from_the_types():
    """To make it anew: `python -m tests.support.audit_schema`."""
    assert json.loads(SCHEMA.read_text()) == msgspec.json.schema(AuditReport)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_documented(verdict):
    assert f"| `{verdict}` | {MEANING[verdict]}" in (ROOT / "docs" / "audit.md").read_text()
