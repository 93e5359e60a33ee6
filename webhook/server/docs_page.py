"""The page `/docs`: the OpenAPI document as HTML without scripts, which loads nothing."""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from itertools import compress
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: var(--soft); }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; }
nav ul { columns: 2; }
"""

POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page: its own style and nothing else."""

_SCHEMA = "#/components/schemas/"


def page(document: Mapping[str, Any]) -> str:
    """The page for an OpenAPI 3.1 document with references to `components.schemas` only."""
    info = document["info"]
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = document["components"]["schemas"]
    title = escape(f"{info['title']} {info['version']}")
    links = [(each["operationId"], name) for name, each in operations]
    links += [(f"schema-{name}", name) for name in schemas]
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
            f"<p>{escape(info['description'])} This page is made from ",
            '<a href="/openapi.json"><code>/openapi.json</code></a>.</p>\n<nav>\n<ul>\n',
            *(f'<li><a href="#{escape(at)}"><code>{escape(name)}</code></a></li>\n' for at, name in links),
            "</ul>\n</nav>\n<h2>Requests</h2>\n",
            *(_operation(name, operation) for name, operation in operations),
            "<h2>Types</h2>\n",
            *(_schema(name, schema) for name, schema in schemas.items()),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _operation(name: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f'<section>\n<h3 id="{escape(operation["operationId"])}"><code>{escape(name)}</code></h3>\n',
        f"<p>{escape(operation['summary'])}.</p>\n",
    ]
    if parameters := operation.get("parameters"):
        rows = [
            (f"<code>{escape(each['name'])}</code>", _type(each["schema"]), escape(each["description"]))
            for each in parameters
        ]
        parts.append(_table(("Parameter", "Type", "Meaning"), rows))
    if body := operation.get("requestBody"):
        parts.append(_body(body))
    rows = [
        (escape(code), escape(response["description"]), _content(response.get("content", {})))
        for code, response in operation["responses"].items()
    ]
    return "".join([*parts, _table(("Status", "Meaning", "Body"), rows), "</section>\n"])


def _body(body: Mapping[str, Any]) -> str:
    described = f" ({escape(body['description'])})" if "description" in body else ""
    text = f"<p>Body{described}: {_content(body['content'])}</p>\n"
    examples = [content["example"] for content in body["content"].values() if "example" in content]
    if not examples:
        return text
    return f"{text}<p>Example:</p>\n<pre>{escape(json.dumps(examples[0], indent=2, ensure_ascii=False))}</pre>\n"


def _content(content: Mapping[str, Any]) -> str:
    """The media types of a body, and its type, which is the same for all of them."""
    types = ", ".join(f"<code>{escape(name)}</code>" for name in content)
    schemas = {_type(each["schema"]) for each in content.values() if "schema" in each}
    return f"{types}: {' or '.join(sorted(schemas))}" if schemas else types


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    parts = [f'<section>\n<h3 id="schema-{escape(name)}"><code>{escape(name)}</code></h3>\n']
    if text := schema.get("description"):
        parts += [f"<p>{_prose(part)}</p>\n" for part in text.split("\n\n")]
    if rows := list(_fields(schema)):
        parts.append(_table(("Field", "Type", "Required", "Meaning"), rows))
    else:
        parts.append(f"<p>{_type(schema)}</p>\n")
    return "".join([*parts, "</section>\n"])


def _fields(schema: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str, str, str]]:
    """The fields of an object, and of the objects in it."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{before}{name}"
        meaning = escape(field.get("description", ""))
        yield f"<code>{escape(path)}</code>", _type(field), "yes" if name in required else "", meaning
        yield from _fields(field, f"{path}.")


def _type(schema: Mapping[str, Any]) -> str:
    if reference := schema.get("$ref"):
        name = escape(reference.removeprefix(_SCHEMA))
        return f'<a href="#schema-{name}">{name}</a>'
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if schema.get("type") == "array" and schema.get("items"):
        return f"array of {_type(schema['items'])}"
    kinds = schema.get("type", "any value")
    return escape(" or ".join(kinds) if isinstance(kinds, list) else kinds)


def _prose(text: str) -> str:
    """A text as HTML, with the parts in backticks as code."""
    return "".join(
        f"<code>{escape(part)}</code>" if index % 2 else escape(part) for index, part in enumerate(text.split("`"))
    )


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table, without the columns that are empty."""
    full = [any(cells) for cells in zip(*rows, strict=True)]
    head = "".join(f"<th>{title}</th>" for title in compress(titles, full))
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in compress(row, full))}</tr>\n" for row in rows)
    return f"<table>\n<tr>{head}</tr>\n{body}</table>\n"
