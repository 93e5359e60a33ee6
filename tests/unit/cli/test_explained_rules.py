"""`vmguard explain` says of each id what it means, why, and what to do, with YAML to copy."""

import re
from argparse import Namespace
from typing import get_args, get_type_hints

import pytest
import yaml

from tests.support.server import ROOT
from webhook.cli.explain import TEXTS, run
from webhook.policy.posture import Posture

BLOCK = re.compile(r"\n\n((?:    .*\n)+)")


@pytest.mark.parametrize("name", TEXTS)
def test_an_explanation_has_the_reason_and_what_to_do(name):
    """It begins with the id and what it means; then come two paragraphs that are easy to find."""
    text = TEXTS[name]
    assert text.startswith(f"{'volume-ownership' if name == 'data-ownership' else name}: ")
    assert text.index("\nWhy: ") < text.index("\nWhat to do: ")


@pytest.mark.parametrize("name", TEXTS)
def test_each_block_of_an_explanation_is_yaml_to_copy(name):
    blocks = BLOCK.findall(TEXTS[name] + "\n")
    assert blocks
    for block in blocks:
        assert isinstance(yaml.safe_load(block), dict)


@pytest.mark.parametrize("name", TEXTS)
def test_a_sentence_of_an_explanation_is_short_enough(name):
    """A person who is not a native speaker reads it: at most 25 words, lists and tables aside."""
    text = BLOCK.sub("\n\n", TEXTS[name] + "\n").partition("\n|")[0].partition("Source:")[0]
    prose = re.sub(r"(?m)^- (?:.*\n(?:  .*\n)*)", "\n\n", text)
    for sentence in re.split(r"[.:;!?](?:\s|$)|\n\n", prose):
        assert len(sentence.split()) <= 25, sentence


@pytest.mark.parametrize("part", ["security_context", "api_access"])
def test_each_word_of_a_posture_is_explained(part):
    for word in get_args(get_type_hints(Posture)[part]):
        assert f"\n- `{word}`: " in TEXTS["posture"]
        assert f" | `{word}` | " in (ROOT / "docs" / "rules.md").read_text()


@pytest.mark.parametrize("written", ["low-port", "[low-port]", "Low-Port"])
def test_an_id_may_be_copied_as_it_stands_in_a_warning(written, capsys):
    assert run(Namespace(rule=written)) == 0
    assert capsys.readouterr().out.startswith("low-port: ")
