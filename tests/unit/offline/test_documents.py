"""Untrusted text becomes plain values, or is refused in one line."""

import gzip
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from webhook.offline.documents import (
    COMMAND_LINE,
    DRY_RUN,
    Document,
    DocumentError,
    Limits,
    TemplateError,
    read_documents,
    read_each,
)
from webhook.yaml_output import as_yaml

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii", categories=["L"]), max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


def read(text, limits=DRY_RUN):
    data = text if isinstance(text, bytes) else text.encode()
    return [document.value for document in read_documents(data, limits=limits)]


@given(st.dictionaries(st.just("kind"), VALUES, min_size=1))
@settings(deadline=None)
def test_json_comes_back_as_it_was(value):
    assert read(json.dumps(value)) == [value]


@given(st.dictionaries(st.just("kind"), VALUES, min_size=1))
@settings(deadline=None)
def test_yaml_comes_back_as_it_was(value):
    assert read(as_yaml(value)) == [value]


@pytest.mark.parametrize(
    "text",
    ["0E0", "1e3", "-.5e1", "1.e2", "0o17", "1_000", "0x1f", "017", "1:30", "yes", "null", "~", "y", "N", "1e1_0"],
)
def test_a_text_that_looks_like_another_type_stays_a_text(text):
    """A version or a generation may look like a number."""
    assert read(as_yaml({"kind": text})) == [{"kind": text}]


@pytest.mark.parametrize(("text", "value"), [("1e3", 1000), ("1000.0", 1000), ("0.5", 0.5), ("1e21", 1e21)])
def test_a_json_number_becomes_what_kubectl_makes_of_it(text, value):
    (found,) = read(f'{{"a":{text}}}')
    assert type(found["a"]) is type(value)
    assert found == {"a": value}


def test_a_json_number_without_end_is_refused():
    with pytest.raises(DocumentError, match="Number out of range"):
        read('{"a":1e400}')


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
@settings(max_examples=examples(500), deadline=None)
def test_whatever_the_bytes_only_a_document_error_is_raised(data):
    try:
        read(data)
    except DocumentError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(st.text(st.sampled_from("{}[]:,-&*!<|>'\"#%@ \n\tab01~.?"), max_size=60))
@settings(max_examples=examples(800), deadline=None)
def test_whatever_the_syntax_only_a_document_error_is_raised(text):
    try:
        read(text)
    except DocumentError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("No", False),
        ("ON", True),
        ("y", True),
        ("N", False),
        ("'y'", "y"),
        ("~", None),
        ("'~'", "~"),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("0b101", 5),
        ("1_000", 1000),
        ("-7", -7),
        ("1.5e3", 1500),
        ("1e3", 1000),
        ("1000.0", 1000),
        ("1_0.0", 10),
        ("1e1_0", 10_000_000_000),
        ("1000.5", 1000.5),
        ("1e21", 1e21),
        (".5", 0.5),
        ("2026-11-24", "2026-11-24"),
        ("1.2.3", "1.2.3"),
        ("12:30:45", "12:30:45"),
        ("089", 89),
        ("!!str 5", "5"),
        ('"yes"', "yes"),
        ("|-\n  yes", "yes"),
        ("<<", "<<"),
    ],
)
def test_a_scalar_becomes_what_kubectl_makes_of_it(text, value):
    (found,) = read(f"a: {text}\n")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: 1\nb: 2\na: 3", "key 'a' stands twice", 3),
        ("a: .nan", ".nan is no JSON number", 1),
        ("a: -.inf", "-.inf is no JSON number", 1),
        ("a: 18446744073709551616", "integer 18446744073709551616 has more than 64 bits", 1),
        ("a: 1e999", "number 1e999 is too large", 1),
        ("a: !!python/name:os.system x", "tag tag:yaml.org,2002:python/name:os.system is not allowed", 1),
        ("a: !!binary aGk=", "tag tag:yaml.org,2002:binary is not allowed", 1),
        ("a: *b", "", 1),
        ("a: &a [*a]", "the YAML alias *a has no anchor before it, or is inside its own anchor", 1),
        ("? [1]\n: 2", "a key must be a string", 1),
        ("a: {<<: 5}", "a merge key (<<) takes a mapping or a list of mappings", 1),
        ("a: [", "not valid YAML: did not find expected node content", 2),
        ('{"a": .nan}', ".nan is no JSON number", 1),
        ('{"a":\n  tru]', "not valid JSON: JSON is malformed: invalid character", 2),
        ('{"a": "\\ud800"}', "", 1),
        ('{"a": 1', "not valid JSON: Input data was truncated", 1),
        ("{a: 1,\n b: ]}", "not valid YAML: did not find expected node content", 2),
        ("a: 1\n---\n# c\n{a: 1}\n---\n\na: [1}", "not valid YAML: did not find expected ',' or ']'", 7),
        (b"a: \xff", "not UTF-8 text", 1),
        ("a: \x00", "", None),
    ],
)
def test_a_refused_document_is_reported_with_its_line(text, message, line):
    with pytest.raises(DocumentError) as refused:
        read(text)
    assert str(refused.value).startswith(message)
    if line:
        assert refused.value.line == line


def test_merge_keys_fill_what_is_missing():
    assert read("a: &a {u: 1, v: 2}\nb: {<<: *a, v: 3}\nc: {<<: [*a, {w: 4}]}") == [
        {"a": {"u": 1, "v": 2}, "b": {"u": 1, "v": 3}, "c": {"u": 1, "v": 2, "w": 4}}
    ]


def test_an_alias_is_a_copy():
    (value,) = read("a: &a [1]\nb: *a")
    value["a"].append(2)
    assert value["b"] == [1]


def test_several_documents_keep_their_lines():
    documents = read_documents(b"---\na: 1\n---\n---\n# nothing\n---\nb: 2\n", limits=DRY_RUN)
    assert [(document.value, document.line) for document in documents] == [({"a": 1}, 1), ({"b": 2}, 6)]


def test_json_values_one_after_another_are_documents():
    assert read('{"a":1}\n{"b":2} [3]') == [{"a": 1}, {"b": 2}, [3]]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{a: b}", [{"a": "b"}]),
        ('{"a": 1,}', [{"a": 1}]),
        ('{"a": [1, 2,],\n "b": NaN}', [{"a": [1, 2], "b": "NaN"}]),
        ("[1, {a: b}]", [[1, {"a": "b"}]]),
        ('{"a":1}\n---\nb: 2', [{"a": 1}, {"b": 2}]),
        ('{"a":1}\r\n---\r\n{b: 2}\r\n---\r\nc: 3\r\n', [{"a": 1}, {"b": 2}, {"c": 3}]),
        ('a: 1\n---\n{"b":2} {"c":3}\n--- {d: 4}\n--- # e\ne: 5', [{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}, {"e": 5}]),
        ('{"a":1}\n{"b":2}\n{c: 3}\n', [{"a": 1}, {"b": 2}, {"c": 3}]),
        ('{"a": 1,}\n{"b": 2,}', [{"a": 1}, {"b": 2}]),
        ('\ufeff{"a":1}', [{"a": 1}]),
        ("\ufeffa: 1\r\n", [{"a": 1}]),
        ('# first\n\n  # second\n{"a":1}\n{"b":2}\n# last', [{"a": 1}, {"b": 2}]),
        ("# only", []),
        ("---\n---\nnull\n--- # nothing\n", []),
        ('a: 1\n...\n%YAML 1.1\n---\n{"b": 2}\n...\n', [{"a": 1}, {"b": 2}]),
        ("a: |\n  x\n  ---\nb: '- ---'", [{"a": "x\n---\n", "b": "- ---"}]),
        ('{"a":\n{b: 1}}', [{"a": {"b": 1}}]),
    ],
)
def test_documents_are_json_or_yaml_whatever_the_others_are(text, values):
    assert read(text) == values


def test_json_that_is_not_json_is_read_as_yaml_and_text_in_it_stays_text():
    """As kubectl does from 1.33: what is no JSON literal is a string, which no boolean field takes."""
    assert read('{"a": tru, "b": NaN}') == [{"a": "tru", "b": "NaN"}]


def errors(text, limits=DRY_RUN):
    """The documents of a text, and of an unreadable one its line and message."""
    found = read_each(text if isinstance(text, bytes) else text.encode(), limits=limits)
    return [each.value if isinstance(each, Document) else (each.line, str(each)) for each in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\n---\nb: [\n---\nc: 3", [{"a": 1}, (4, "not valid YAML: did not find expected node content"), {"c": 3}]),
        ("a: 1\n---\nb: 1\nb: 2\n---\nc: 3", [{"a": 1}, (4, "key 'b' stands twice"), {"c": 3}]),
        (
            '{"a":1}\n---\n{"b":]}\n---\nc: 3',
            [{"a": 1}, (3, "not valid YAML: did not find expected node content"), {"c": 3}],
        ),
        (
            '{"a":1}\n{"b":]}\n{"c":3}\n{d: 4}\n',
            [{"a": 1}, (2, "not valid YAML: did not find expected node content"), {"c": 3}, {"d": 4}],
        ),
        ('{"a":\n{"b":2}', [(2, "not valid JSON: Input data was truncated"), {"b": 2}]),
        (
            "a: 1\n---\n" + "[" * 101 + "]" * 101 + "\n---\nc: 3",
            [{"a": 1}, (2, "nested deeper than 100 levels"), {"c": 3}],
        ),
        ("a: 1\n---\nb: " + "[" * 101 + "\n---\nc: 3", [{"a": 1}, (3, "nested deeper than 100 levels"), {"c": 3}]),
        ("\ud800", [(1, "not UTF-8 text")]),
    ],
)
def test_an_unreadable_document_hides_no_other_one(text, found):
    assert errors(text.encode(errors="surrogatepass")) == found


@pytest.mark.parametrize(
    "text", ["a: 1\n\ufeff---\nb: 2\n", "\ufeffa: 1\n---\n\ufeffb: 2\n", '{"a": 1}\n\ufeff{"b": 2}']
)
def test_a_byte_order_mark_of_a_joined_file_hides_no_document(text):
    assert read(text) == [{"a": 1}, {"b": 2}]


def test_utf_16_is_named():
    assert errors('{"a":1}'.encode("utf-16")) == [(None, "UTF-16 text; save it as UTF-8")]


def test_gzip_is_named():
    assert errors(gzip.compress(b'{"a":1}')) == [(None, "compressed by gzip; unpack it first")]


def test_the_limit_on_values_holds_for_all_documents_together():
    text = "a: [1, 2, 3]\n---\n" * 4
    assert errors(text, Limits(1000, 15)) == [{"a": [1, 2, 3]}, {"a": [1, 2, 3]}, (5, "more than 15 values")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{{- if .Values.on }}\na: 1\n{{- end }}\n", 1),
        ("# a chart\na: 1\nb: {{ .Release.Name }}\nc: 3", 3),
        ("a: 1\n{{- with $x }}\nb: {{ . }}\n{{- end }}\n", 2),
        ('{"a": {{ .Values.a }}}', 1),
        ("a:{{ toYaml .Values.a | nindent 2 }}\nb: 1\n", 1),
        ("a: 1\nb: {{ $name }}-x\n", 2),
        ("a: 1\n{{ if $x }}\nb: 2\n{{ else }}\nb: 3\n{{ end }}\n", 2),
    ],
)
def test_an_unrendered_template_is_named_with_its_line(text, line):
    with pytest.raises(TemplateError, match=r"^a Helm template that is not rendered$") as refused:
        read(text)
    assert refused.value.line == line


def test_of_an_unrendered_template_one_line_is_reported_and_other_documents_are_read():
    text = "a: 1\n---\n{{- range $x }}\n---\nb: {{ . }}\n---\n{{- end }}\n---\nc: 3\n"
    assert errors(text) == [{"a": 1}, (3, "a Helm template that is not rendered"), {"c": 3}]


RULES = """\
summary: "{{ $labels.instance }} of {{ $labels.job }} is down"
text: |
  {{ range .Alerts }}
  {{ .Annotations.summary }}
  {{- end }}
plain: is {{ $value }}
"""


def test_templates_in_the_strings_of_a_document_are_text():
    """Alertmanager and alerting rules have templates of their own."""
    (value,) = read(RULES)
    assert value["plain"] == "is {{ $value }}"
    assert value["text"].startswith("{{ range .Alerts }}")


@pytest.mark.parametrize("fault", ["x: [\n", "plain: again\n", "\ty: 1\n", "a: @b\n"])
def test_another_error_in_a_document_with_templates_in_strings_is_that_error(fault):
    for text in (RULES + fault, fault + RULES):
        with pytest.raises(DocumentError) as refused:
            read(text)
        assert type(refused.value) is not TemplateError


PIECES = st.sampled_from(
    (
        *("a: 1\n", "b: [x, {v: z}]\n", "- 1\n", "--- \n", "---\n", "...\n", "{a: 1}\n", '{"b": [1]}\n', "# c\n", "\n"),
        *("c: |\n", "  ---\n", " d\n", "'e\n", "f'\n", "...\n%YAML 1.1\n---\n", "&a g\n", "x: *a\n", "--- >\n", "\t\n"),
        "\r",
    )
)


@given(st.lists(PIECES, max_size=8).map("".join))
@settings(max_examples=examples(400), deadline=None)
def test_what_is_yaml_as_a_whole_is_read_as_that(text):
    """A text is cut at the lines that YAML ends documents with, and nowhere else."""
    try:
        whole = [value for value in yaml.load_all(text, yaml.CSafeLoader) if value is not None]
    except (yaml.YAMLError, ValueError, TypeError):
        return
    try:
        assert read(text) == whole
    except DocumentError as error:
        assert "stands twice" in str(error)  # noqa: PT017 - PyYAML takes the last one


@given(
    st.lists(VALUES.filter(lambda value: value is not None), max_size=5),
    st.sampled_from(["\n", "\n---\n", "\r\n---\r\n", "\n# c\n---\n"]),
)
@settings(deadline=None)
def test_json_values_come_back_whatever_is_between_them(values, between):
    objects = [{"kind": value} for value in values]
    assert read(between.join(map(json.dumps, objects))) == objects


BAD = st.sampled_from(["a: [", "{a: ]}", '{"a": ', "x: {{ .Values.x }}", "b: 1\nb: 2", "'", "\t- a: b", "a: *b", "@"])


@given(st.lists(VALUES.map(lambda value: {"kind": value}) | BAD, max_size=6), st.booleans())
@settings(deadline=None)
def test_every_readable_document_between_unreadable_ones_is_read(parts, in_json):
    written = [part if isinstance(part, str) else json.dumps(part) if in_json else as_yaml(part) for part in parts]
    text = "".join(f"---\n{each}\n" for each in written)
    found = [each.value for each in read_each(text.encode(), limits=DRY_RUN) if isinstance(each, Document)]
    assert found == [part for part in parts if not isinstance(part, str)]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "a: [" * 50_000, "- " * 50_000, "{a: " * 50_000])
def test_deep_nesting_is_refused_without_a_crash(text):
    with pytest.raises(DocumentError):
        read(text, COMMAND_LINE)


def test_aliases_of_aliases_end_at_the_budget():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    with pytest.raises(DocumentError, match="more than 1000 values"):
        read(bomb, Limits(10_000, 1000))


def test_too_many_bytes_are_refused_unread():
    with pytest.raises(DocumentError, match="11 bytes are too many: at most 10 are read"):
        read("x" * 11, Limits(10, 10))
