"""`vmguard explain` says of each id what it means, why, and what to do, with YAML to copy."""

import re

import pytest
import yaml

from webhook.cli.explain import TEXTS

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
