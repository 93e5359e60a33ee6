"""The programs that a container runs, as far as its command, arguments and hook name them. A part of other rules."""

import posixpath
import re
from collections.abc import Iterable, Iterator

from webhook.policy.conditions import value_at
from webhook.policy.json_access import Raw

_COMMENT = re.compile(
    r"""^[ \t]*\#[^\n]*  # a whole line
    |(?<=\s)\#[^\n'"]*$  # or the end of one, where no quote tells that it may be part of a text
    """,
    re.MULTILINE | re.VERBOSE,
)
_SAID = re.compile(r"(?:^|(?<=[\s;&|(]))(?:echo|printf)[ \t][^;&|\n]*", re.MULTILINE)

_LONGEST_SCRIPT = 20_000
_GIVES_SCRIPT = re.compile("-[a-z]{0,5}c")
_HOOK = ("lifecycle", "postStart", "exec", "command")
_OR = "||"


def pattern_of(programs: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds calls of programs in a script: the name and the text of the arguments."""
    names = "|".join(map(re.escape, programs))
    return re.compile(rf"(?:^|[\s;&|(`/])({names})[ \t]+([^;&|\n)`]{{0,1000}})")


def command_lines(container: Raw) -> list[list[str]]:
    """The words of the command with its arguments, and those of the hook that runs after the start."""
    return [texts(container.get("command")) + texts(container.get("args")), texts(value_at(container, _HOOK))]


def command_line(container: Raw) -> list[str]:
    """The words of all command lines of a container."""
    return [word for line in command_lines(container) for word in line]


def scripts(words: list[str]) -> Iterator[str]:
    """The words that are scripts, without comments: those after `-c`, and those with spaces in them."""
    for before, word in zip(["", *words], words, strict=False):
        if _GIVES_SCRIPT.fullmatch(before) or any(map(str.isspace, word)):
            yield _COMMENT.sub("", word[:_LONGEST_SCRIPT])


def said_removed(script: str) -> str:
    """A script without what it only says."""
    return _SAID.sub("", script)


def calls(words: list[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, list[str]]]:
    """The programs of a pattern that a command line names, with their arguments."""
    for index, word in enumerate(words):
        name = posixpath.basename(word)
        if pattern.fullmatch(f"{name} "):
            yield name, words[index + 1 :]
        for script in scripts([word]):
            for match in pattern.finditer(said_removed(script)):
                yield match[1], match[2].split()


def ignores_failure(container: Raw) -> bool:
    """Whether a script of a container goes on where a program fails."""
    return any(_OR in word for word in command_line(container))


def texts(value: object) -> list[str]:
    """The texts of a raw list; [] where it is none."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
