"""Makes text from a user's object safe to print: on one line, without control characters, and cut.

Otherwise a user who can write an object could forge lines of a log or an explanation, or control the reader's terminal.
"""

import re
from collections.abc import Sequence

LONGEST_QUOTE = 60
"""Most characters of a client's or a person's text that an error message repeats."""


def quoted(text: object) -> str:
    """The start of a text, in quotes, for an error message that must repeat it."""
    return repr(one_line(text, LONGEST_QUOTE))


def one_line(text: object, longest: int) -> str:
    """The text with every run of white space as one space and every other unprintable character as `?`, cut with `…`.

    `longest` is in characters.
    """
    line = printable(" ".join(str(text)[: 8 * longest].split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def nearest(name: str, existing: Sequence[str], least: float = 0.5) -> tuple[str, ...]:
    """Up to three existing names that are like a wrong one, the nearest first; `least` of both must be the same."""
    from rapidfuzz import process  # noqa: PLC0415 - hardly ever needed
    from rapidfuzz.distance import Indel  # noqa: PLC0415

    alike = process.extract(name[:253], existing, scorer=Indel.normalized_similarity, limit=3, score_cutoff=least)
    return tuple(found for found, _, _ in alike)


def printable(line: str) -> str:
    """The line with every unprintable character as `?`; its spaces do not change."""
    return line if line.isprintable() else "".join(char if char.isprintable() else "?" for char in line)


_MISMATCH = re.compile(r"Expected `([^`]+)`, got `([^`]+)`(?: - at `\$\.?(.*)`)?")
_JSON_TYPES = {"str": "a string", "int": "an integer", "float": "a number", "bool": "a boolean"} | {
    "object": "an object",
    "array": "an array",
    "null": "null",
}


def mismatch(error: object) -> str:
    """The text of msgspec about a wrong type in plain words; any other text unchanged."""
    found = _MISMATCH.fullmatch(str(error))
    if not found:
        return str(error)
    wanted, got, place = found.groups()
    named = [_JSON_TYPES.get(each, each) for each in wanted.split(" | ") if each != "null"]
    return f"{place or 'it'} is {_JSON_TYPES.get(got, got)} but must be {' or '.join(named)}"
