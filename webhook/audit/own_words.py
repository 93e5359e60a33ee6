"""The words of vmguard's own texts, which a redacted report may show. Read from the strings in vmguard's own sources.

Without the sources there are no words, and a redacted report shows hashes in their place.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import webhook

_SOURCES = ("policy", "podsecurity", "audit", "cluster", "offline", "admission", "facts.py", "settings.py")
"""What the texts of a report are made in."""

_SPLIT = re.compile(r"[\s'\"(){}\[\],;=<>]+")
_NO_WORD = re.compile(r"[\\^$?*+|]|%\w|^\W")
"""What is a part of a regular expression or of a format, or begins with no letter."""

ENDS = ".:,!?…"
"""What may stand behind a word."""


@cache
def own_words() -> frozenset[str]:
    """Each word of a text."""
    found = (each.strip(ENDS) for text in _texts() for each in _SPLIT.split(text))
    words = {each for each in found if each and not _NO_WORD.search(each)}
    return frozenset(words | {part for each in words for part in each.split(".") if part.isidentifier()})


@cache
def pairs_after(first: frozenset[str]) -> frozenset[tuple[str, str]]:
    """Each two words that stand side by side in a text, of which the first is one of these."""
    split = ([each.strip(ENDS) for each in _SPLIT.split(text)] for text in _texts())
    pairs = (pair for words in split for pair in pairwise(words))
    return frozenset((one, two) for one, two in pairs if one in first and two.isalpha() and two.islower())


@cache
def _texts() -> tuple[str, ...]:
    """The strings of the sources that are no docstrings."""
    root = Path(webhook.__file__).parent
    files = [file for name in _SOURCES for file in (sorted((root / name).rglob("*.py")) or [root / name])]
    return tuple(text for file in files if file.is_file() for text in _strings(ast.parse(file.read_bytes())))


def _strings(tree: ast.Module) -> Iterator[str]:
    docstrings = {
        id(statement.value)
        for node in ast.walk(tree)
        for statement in (node.body if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) else ())
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
