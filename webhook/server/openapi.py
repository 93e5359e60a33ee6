"""The OpenAPI description of the webhook listener. The encoded types describe the answers."""

from typing import Any

import msgspec

from webhook import __version__
from webhook.admission.admission_review import API_VERSIONS, Answer
from webhook.offline.question import Question
from webhook.offline.reply import DryRunAnswer
from webhook.server.http import ErrorStatus

_EXAMPLE = {
    "pod": {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "vmsingle-db-0",
            "namespace": "mon",
            "labels": {"managed-by": "vm-operator", "app.kubernetes.io/name": "vmsingle"},
        },
        "spec": {"containers": [{"name": "vmsingle", "image": "victoriametrics/victoria-metrics"}]},
    },
    "kubernetesVersion": "1.30",
}

_EVERY_ERROR = {
    408: "Not whole within 60 s",
    431: "More than 64 KiB beside the body",
    503: "No memory for the body, or it came too slowly",
}
_DRY_RUN_ERRORS = {
    400: "Broken or unsafe text",
    413: "Larger than 512 KiB",
    422: "Well written, but not a question that can be answered",
    429: "Busy, or no answer within 2 s",
    500: "Our own fault; the log says why",
}
_REVIEW_ERRORS = {
    400: "No AdmissionReview, or an object in it of the wrong shape",
    413: "Larger than 7 MiB",
    415: "Content-Type is not application/json",
    500: "Whose pod it is cannot be known (failurePolicy decides), or our own fault",
}

_REVIEW: dict[str, Any] = {
    "type": "object",
    "description": "AdmissionReview with a request; the schema has only the fields that vmguard reads",
    "required": ["apiVersion", "kind", "request"],
    "properties": {
        "apiVersion": {"enum": list(API_VERSIONS)},
        "kind": {"const": "AdmissionReview"},
        "request": {
            "type": "object",
            "required": ["uid", "kind", "operation"],
            "properties": {
                "uid": {"type": "string"},
                "kind": {
                    "type": "object",
                    "properties": {name: {"type": "string"} for name in ("group", "version", "kind")},
                },
                "operation": {"type": "string"},
                "namespace": {"type": ["string", "null"]},
                "name": {"type": ["string", "null"]},
                "subResource": {"type": ["string", "null"]},
                "dryRun": {"type": ["boolean", "null"]},
                "userInfo": {
                    "type": ["object", "null"],
                    "properties": {
                        "username": {"type": "string"},
                        "groups": {"type": ["array", "null"], "items": {"type": "string"}},
                    },
                },
                "object": {"description": "the Pod or resource", "type": ["object", "null"]},
                "oldObject": {"type": ["object", "null"]},
            },
        },
    },
}
_BARE = {"type": "object", "description": "an AdmissionReview, a Pod, a VM resource or a List", "required": ["kind"]}
_TIMEOUT = {
    "name": "timeout",
    "in": "query",
    "required": False,
    "description": "a Go duration; 10s if it is absent or not valid",
    "schema": {"type": "string", "example": "10s"},
}


def description() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    described = (Answer, DryRunAnswer, ErrorStatus, Question)
    _, types = msgspec.json.schema_components(described, ref_template=_ref("{name}"))
    schemas = {**types, "AdmissionReview": _REVIEW, "Question": {"anyOf": [types["Question"], _BARE]}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vmguard",
            "version": __version__,
            "description": "/dry-run shows what vmguard would do with a pod or a resource of the VictoriaMetrics"
            " operator, and changes nothing. The API server calls /mutate and /validate.",
        },
        "paths": {
            "/dry-run": {"post": _dry_run()},
            **_reviews("mutate", "What to change in a pod"),
            **_reviews("validate", "Whether a pod or a resource complies"),
            "/healthz": {
                "get": {
                    "operationId": "healthz",
                    "summary": "Whether the process is alive",
                    "responses": {"200": {"description": "ok", "content": {"text/plain": {"schema": {"const": "ok"}}}}},
                }
            },
        },
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _reviews(webhook: str, summary: str) -> dict[str, Any]:
    """The paths of one webhook, by the effect of the namespace's labels."""
    meanings = {
        "": summary,
        "/enforced": "The same for a namespace that enforces deny",
        "/mode-enforce": "The same for a namespace with the label of the mode",
        "/mode-enforce/enforced": "The same for a namespace with both labels",
    }
    return {
        f"/{webhook}{path}": {"post": _admission(f"{webhook}{path.replace('/', '-')}", meaning)}
        for path, meaning in meanings.items()
    }


def _dry_run() -> dict[str, Any]:
    content = {"schema": {"$ref": _ref("Question")}, "example": _EXAMPLE}
    return {
        "operationId": "dry-run",
        "summary": "What vmguard would do with an object, and why",
        "requestBody": {
            "required": True,
            "description": "JSON or YAML, recognised by its content",
            "content": {"application/json": content, "application/yaml": content},
        },
        "responses": _responses("DryRunAnswer", "What vmguard would do with it", _DRY_RUN_ERRORS),
    }


def _admission(name: str, summary: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _ref("AdmissionReview")}}}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [_TIMEOUT],
        "requestBody": {"required": True, "content": content},
        "responses": _responses("Answer", "The decision", _REVIEW_ERRORS),
    }


def _responses(answer: str, what: str, errors: dict[int, str]) -> dict[str, Any]:
    def response(text: str, schema: str) -> dict[str, Any]:
        return {"description": text, "content": {"application/json": {"schema": {"$ref": _ref(schema)}}}}

    described = {**errors, **_EVERY_ERROR}
    return {
        "200": response(what, answer),
        **{str(code): response(described[code], "ErrorStatus") for code in sorted(described)},
    }


def _ref(name: str) -> str:
    return f"#/components/schemas/{name}"
