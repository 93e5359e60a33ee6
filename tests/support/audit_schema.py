"""Writes the schema of an audit's report: `python -m tests.support.audit_schema`."""

import inspect
import json
from typing import Any

import msgspec

from tests.support.server import ROOT
from webhook.audit.report import AuditReport

FILE = ROOT / "docs" / "schema" / "audit.json"


def schema() -> dict[str, Any]:
    """The schema; its descriptions are docstrings, whose indentation differs between versions of Python."""
    made: dict[str, Any] = _cleaned(msgspec.json.schema(AuditReport))
    return made


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: inspect.cleandoc(each) if key == "description" and isinstance(each, str) else _cleaned(each)
            for key, each in value.items()
        }
    return [_cleaned(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(schema(), indent=2) + "\n")
