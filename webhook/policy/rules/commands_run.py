"""The programs that a container runs, as far as its command, arguments and hook name them. A part of other rules.

A script is read as a shell reads it, as far as that needs no shell: quotes, comments, separators, redirections and
here-documents. What a shell gets as a here-document is read as commands, too.
"""

import posixpath
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from webhook.policy.conditions import value_at
from webhook.policy.json_access import Raw

_HOOK = ("lifecycle", "postStart", "exec", "command")
_OR = "||"
_LONGEST = 20_000
"""Characters of the scripts of one command line that are read."""

_MOST_WORDS = 100
"""Words of one command, and calls in one command line, that are read: a tenant may name one tool again and again."""

_GIVES_SCRIPT = re.compile("-(?!exec)[a-z]{0,5}c")

_PIECE = re.compile(
    r"""'(?P<raw>[^']*)'
    |"(?P<quoted>(?:[^"\\]|\\.)*)"
    |\\(?P<escaped>.)
    |(?P<end>[;&|()`\n]+)
    |\d*(?P<redirection>>{1,2}|<+)&?-?
    |(?<![^\s;&|()`])\#[^\n]*
    |(?P<space>\s+)
    |(?P<plain>[^\s'"\\;&|()`<>]+|.)""",
    re.DOTALL | re.VERBOSE,
)
"""One piece of a script; a comment begins where a word may."""

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
_SAYS = frozenset({"echo", "printf"})
_SHELLS = frozenset({"ash", "bash", "dash", "ksh", "sh", "zsh"})
_BEFORE = frozenset(
    ["then", "do", "else", "elif", "if", "while", "until", "exec", "command", "time", "nohup", "!", "{"]
)
"""Words of a shell that stand before a command."""

_RUNS_ANOTHER = frozenset({"busybox", "env", "timeout", "nice", "xargs", "nsenter", "chroot"})
"""Programs that run the one that their arguments name."""


class Command(NamedTuple):
    """A command of a script: its words, and the files that it writes to."""

    words: tuple[str, ...]
    targets: tuple[str, ...]


class Call(NamedTuple):
    """A call of a program: its name without a path, and its arguments."""

    program: str
    arguments: tuple[str, ...]


def command_lines(container: Raw) -> list[list[str]]:
    """The words of the command with its arguments, and those of the hook that runs after the start."""
    return [texts(container.get("command")) + texts(container.get("args")), texts(value_at(container, _HOOK))]


def commands(line: list[str], hints: Collection[str]) -> Iterator[Command]:
    """The commands in the scripts of a command line: in the words after `-c`, and in those with spaces.

    It reads only scripts that have one of the hints somewhere.
    """
    left = _LONGEST
    for before, word in zip(["", *line], line, strict=False):
        if left and (_GIVES_SCRIPT.fullmatch(before) or _has_space(word)):
            script = word[:left]
            left -= len(script)
            if any(hint in script for hint in hints):
                yield from _in_script(script)


def _has_space(word: str) -> bool:
    return any(map(str.isspace, word))


@lru_cache(8)
def _in_script(script: str) -> tuple[Command, ...]:
    """All commands of a script; several rules read the same one after another."""
    found: list[Command] = []
    words: list[str] = []
    targets: list[str] = []
    ends: list[str] = []
    holder, word, at = words, "", 0
    lines = {line.lstrip("\t") for line in script.split("\n")}
    while piece := _PIECE.match(script, at):
        kind, at = piece.lastgroup, piece.end()
        if kind in {"raw", "quoted", "escaped", "plain"}:
            word += piece[kind]
            continue
        if word:
            holder.append(word)
            holder, word = words, ""
        if kind == "redirection":
            operator = piece[kind]
            holder = targets if operator.startswith(">") else ends if operator == "<<" else []
        elif kind == "end":
            if ends and "\n" in piece[kind]:
                if not words or posixpath.basename(words[0]) not in _SHELLS:
                    known = [each for each in ends if each in lines]  # `$((1<<2))` begins none
                    at = _after_here_documents(script, script.index("\n", piece.start()), known)
                ends = []
            if words or targets:
                found.append(Command(tuple(words), tuple(targets)))
                words, targets = [], []
            holder = words
    if word:
        holder.append(word)
    return (*found, Command(tuple(words), tuple(targets)))


def _after_here_documents(script: str, at: int, ends: list[str]) -> int:
    """Where a script goes on after its here-documents, which are data: `at` is the end of the line that begins them."""
    for end in ends:
        line = None
        while line != end and at < len(script):
            begin = at + 1
            found = script.find("\n", begin)
            at = len(script) if found < 0 else found
            line = script[begin:at].lstrip("\t")
    return at


def calls(line: list[str], programs: Collection[str]) -> Iterator[Call]:
    """The first programs that a command line names in any place, apart from what it only says."""
    return islice(_all_calls(line, programs), _MOST_WORDS)


def _all_calls(line: list[str], programs: Collection[str]) -> Iterator[Call]:
    for words in (tuple(line), *(each.words for each in commands(line, programs))):
        if words and posixpath.basename(words[0]) not in _SAYS:
            for index, word in enumerate(words):
                if (name := posixpath.basename(word)) in programs and not _has_space(word):
                    yield Call(name, words[index + 1 : index + 1 + _MOST_WORDS])


def run(words: tuple[str, ...], programs: Collection[str]) -> Iterator[Call]:
    """The programs that one command runs: the first word, and those that such a program runs in turn."""
    words = words[:_MOST_WORDS]
    for index, word in enumerate(words):
        name = posixpath.basename(word)
        if name in programs:
            yield Call(name, words[index + 1 :])
        if name in _RUNS_ANOTHER:
            others = enumerate(words[index + 1 :], index + 1)
            inner = next((at for at, each in others if _is_program(each, programs)), len(words))
            yield from run(words[inner:], programs)
            return
        if word not in _BEFORE and not _ASSIGNMENT.fullmatch(word):
            return


def _is_program(word: str, programs: Collection[str]) -> bool:
    return not word.startswith("-") and posixpath.basename(word) in programs


def ignores_failure(container: Raw) -> bool:
    """Whether a script of a container goes on where a program fails."""
    return any(_OR in word for line in command_lines(container) for word in line)


def texts(value: object) -> list[str]:
    """The texts of a raw list; [] where it is none."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
