"""Untrusted text becomes plain values, or is refused in one line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from webhook.offline.documents import COMMAND_LINE, DRY_RUN, DocumentError, Limits, read_documents
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
    "text", ["0E0", "1e3", "-.5e1", "1.e2", "0o17", "1_000", "0x1f", "017", "1:30", "yes", "null", "~"]
)
def test_a_text_that_looks_like_another_type_stays_a_text(text):
    """A version or a generation may look like a number."""
    assert read(as_yaml({"kind": text})) == [{"kind": text}]


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
        ("y", "y"),
        ("~", None),
        ("'~'", "~"),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("0b101", 5),
        ("1_000", 1000),
        ("-7", -7),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("2026-11-24", "2026-11-24"),
        ("1.2.3", "1.2.3"),
        ("12:30:45", "12:30:45"),
        ("089", 89.0),
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
        ("a: &a [*a]", "alias *a stands for nothing that is complete", 1),
        ("? [1]\n: 2", "a key must be a string", 1),
        ("a: {<<: 5}", "a merge key (<<) takes a mapping or a list of mappings", 1),
        ("a: [", "not valid YAML: did not find expected node content", 2),
        ('{"a": NaN}', "not valid JSON: JSON is malformed: invalid character", 1),
        ('{"a":\n  tru}', "not valid JSON: JSON is malformed: invalid character", 2),
        ('{"a": "\\ud800"}', "", 1),
        (b"a: \xff", "not UTF-8 text", 1),
        ("a: \x00", "", None),
    ],
)
def test_what_is_refused_is_said_with_its_line(text, message, line):
    with pytest.raises(DocumentError) as refused:
        read(text)
    assert str(refused.value).startswith(message)
    if line:
        assert refused.value.line == line


def test_merge_keys_fill_what_is_missing():
    assert read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4}]}") == [
        {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2, "z": 4}}
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


def test_what_begins_like_json_must_be_json():
    with pytest.raises(DocumentError, match="not valid JSON"):
        read("{a: b}")


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
