"""The page `/docs` shows the whole OpenAPI document, and runs and loads nothing."""

import base64
import hashlib
import html
import re
from html.parser import HTMLParser

import pytest

from webhook.server.docs_page import POLICY, page
from webhook.server.openapi import description

DOCUMENT = description()
PAGE = page(DOCUMENT)


class _Elements(HTMLParser):
    """Every element with its attributes, and whether all of them are closed."""

    void = frozenset({"meta"})

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


ELEMENTS = _Elements(PAGE)


def test_it_is_well_formed_and_has_no_script_form_frame_or_image():
    assert ELEMENTS.open == []
    tags = {tag for tag, _ in ELEMENTS.found}
    assert not tags & {"script", "link", "img", "iframe", "form", "object", "embed", "base", "svg"}
    assert not [name for _, attributes in ELEMENTS.found for name in attributes if name.startswith("on")]
    assert not [attributes for _, attributes in ELEMENTS.found if {"style", "src"} & attributes.keys()]


def test_its_policy_allows_its_own_style_and_nothing_else():
    (style,) = re.findall(r"<style>(.*)</style>", PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    directives = dict(each.split(" ", 1) for each in POLICY.split("; "))
    assert directives.pop("style-src") == f"'sha256-{digest}'"
    assert set(directives) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert set(directives.values()) == {"'none'"}


def test_every_link_leads_to_a_place_on_the_page_or_to_the_document():
    ids = [attributes["id"] for _, attributes in ELEMENTS.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"] for tag, attributes in ELEMENTS.found if tag == "a"}
    assert targets <= {"/openapi.json", *(f"#{each}" for each in ids)}


OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_it_has_every_operation_with_its_answers(name):
    section = html.unescape(PAGE.split(f"<code>{name}</code></h3>")[1].split("</section>")[0])
    operation = OPERATIONS[name]
    assert operation["summary"] in section
    for code, response in operation["responses"].items():
        assert f"<td>{code}</td><td>{response['description']}</td>" in section


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_it_has_every_type_with_its_fields(name):
    section = PAGE.split(f'<h3 id="schema-{name}">')[1].split("</section>")[0]
    for field in DOCUMENT["components"]["schemas"][name].get("properties", {}):
        assert f"<code>{field}</code>" in section


def test_what_the_document_says_is_text_and_no_markup():
    document = {**DOCUMENT, "info": {"title": "<script>", "version": "&", "description": '"><img>'}}
    text = page(document)
    assert "<script>" not in text
    assert "<img>" not in text
