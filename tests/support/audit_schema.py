"""Writes the schema of an audit's report: `python -m tests.support.audit_schema`."""

import json

import msgspec

from tests.support.server import ROOT
from webhook.audit.report import AuditReport

if __name__ == "__main__":
    file = ROOT / "docs" / "schema" / "audit.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(msgspec.json.schema(AuditReport), indent=2) + "\n")
