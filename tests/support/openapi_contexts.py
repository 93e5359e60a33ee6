"""The security contexts in the OpenAPI description of an API server, and which of their fields have no row."""

import json
from pathlib import Path
from typing import Any

from webhook.policy.context_fields import ROWS, ContextLevel

TYPES: dict[ContextLevel, str] = {"pod": "PodSecurityContext", "container": "SecurityContext"}
Properties = dict[ContextLevel, dict[str, list[str]]]
"""By level, the fields of its context; by field, the members of the object, or of the objects in the list."""

RECORDED: dict[str, Properties] = json.loads((Path(__file__).parent / "openapi_contexts.json").read_text())
"""As real API servers describe them, by version of Kubernetes; an integration test compares."""


def properties(openapi: dict[str, Any]) -> Properties:
    """The fields of both contexts in an answer to `GET /openapi/v2`."""
    definitions = openapi["definitions"]

    def members(schema: dict[str, Any]) -> list[str]:
        reference = schema.get("$ref") or schema.get("items", {}).get("$ref")
        return sorted(definitions[reference.rpartition("/")[2]]["properties"]) if reference else []

    return {
        level: {
            name: members(schema)
            for name, schema in sorted(definitions[f"io.k8s.api.core.v1.{kind}"]["properties"].items())
        }
        for level, kind in TYPES.items()
    }


def without_row(found: Properties) -> list[str]:
    """The fields, and members of fields, that the table does not know."""
    missing: list[str] = []
    for level, fields in found.items():
        rows = ROWS[level]
        for name, members in fields.items():
            known = rows[name].accepted.members if name in rows else {m for m in members if f"{name}/{m}" in rows}
            missing += [f"{level} {name}.{member}" for member in members if member not in known]
            if not members and name not in rows:
                missing.append(f"{level} {name}")
    return missing
