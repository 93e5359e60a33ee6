"""The syntax of Helm templates in a text that should be Kubernetes objects. Pure text; it renders nothing.

A rendered object may have `{{ … }}` in its strings: the templates of Alertmanager and of alerting rules. So only an
unreadable text counts as a template: it has a name that only Helm has, or this syntax makes it unreadable.
"""

import re
from collections.abc import Iterator

_LONGEST_ACTION = 2000
_ACTION = re.compile(rf"""\{{\{{(?=[^{{}}"'])[^{{}}]{{0,{_LONGEST_ACTION}}}\}}\}}""")
"""An action of Go's text/template. No JSON has one outside a string; of `{{"a"` and `{{}` neither begins one."""

_HELMS_OWN = re.compile(
    r"\.(?:Values|Release|Chart|Capabilities|Files|Template)\b|\b(?:include|toYaml|nindent|indent|tpl|lookup)\b"
)
"""Names that no template of Alertmanager or of an alerting rule has."""

_NOT_BREAK = re.compile(r"[^\r\n]")


def first_action(text: str) -> int | None:
    """The line of the first action, from 1; None if there is none."""
    found = _ACTION.search(text)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def is_helms(text: str) -> bool:
    """Whether an action has a name that only Helm has."""
    return any(_HELMS_OWN.search(found[0]) for found in _ACTION.finditer(text))


def without_actions(text: str) -> str:
    """The text with a blank line for each line of only actions, and a word of the same length for other actions."""
    pieces: list[str] = []
    start = 0
    for line_start, line_end in _lines_with_actions(text):
        line = text[line_start:line_end]
        rest = _ACTION.sub("", line).strip()
        pieces += [text[start:line_start], _ACTION.sub(_as_word if rest else _as_blank, line)]
        start = line_end
    return "".join([*pieces, text[start:]])


def _lines_with_actions(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of the lines with actions; lines that an action joins count as one."""
    start, end = 0, -1
    for found in _ACTION.finditer(text):
        if found.start() > end:
            if end >= 0:
                yield start, end
            start = text.rfind("\n", max(end, 0), found.start()) + 1
        if found.end() > end:
            end = text.find("\n", found.end())
            end = len(text) if end < 0 else end
    if end >= 0:
        yield start, end


def _as_word(action: re.Match[str]) -> str:
    return _NOT_BREAK.sub("x", action[0])


def _as_blank(action: re.Match[str]) -> str:
    return _NOT_BREAK.sub(" ", action[0])
