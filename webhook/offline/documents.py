"""Untrusted text into plain JSON values: JSON or YAML, one or many documents, within hard bounds.

JSON goes through msgspec; YAML is built from PyYAML's events with a stack of our own: no tag makes an object, no alias
or merge key multiplies beyond the budget, no date is made. Scalars become what kubectl makes of them (YAML 1.1). Bytes
in, values out; no file is opened here, and every failure is a `DocumentError` of one line.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from webhook.text import one_line


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one text: its bytes, the values it may expand to, and how deep they nest."""

    max_bytes: int
    max_nodes: int
    max_depth: int = 100


_SHORT = 60
"""Characters of a file's text that a message shows."""

COMMAND_LINE = Limits(256 * 1024 * 1024, 20_000_000)
DRY_RUN = Limits(512 * 1024, 100_000)


@dataclass(frozen=True, slots=True)
class Document:
    """One document's value, and the line where it starts, from 1."""

    value: Any
    line: int


class DocumentError(ValueError):
    """What is wrong with a text, in one line for a person; `line` and `column` from 1, None when not known."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


# msgspec counts bytes from 1 where it names one
_BYTE = re.compile(r"\(byte (\d+)\)")
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")


def read_documents(data: bytes, *, limits: Limits) -> list[Document]:
    """The documents in a text.

    Raises:
        DocumentError: not UTF-8, neither JSON nor YAML, unsafe, or over the limits.

    """
    if len(data) > limits.max_bytes:
        raise DocumentError(f"{len(data)} bytes are too many: at most {limits.max_bytes} are read")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DocumentError("not UTF-8 text", *_place(data, error.start)) from None
    return _json(data, limits) if text.lstrip()[:1] in {"{", "["} else _yaml(text, limits)


def _json(data: bytes, limits: Limits) -> list[Document]:
    documents = []
    start, line = 0, 1
    view = memoryview(data)
    while rest := len(data) - start:
        try:
            value = msgspec.json.decode(view[start:])
            end = rest
        except RecursionError:
            raise DocumentError("nested too deeply", *_place(data, start)) from None
        except msgspec.DecodeError as error:
            more = _TRAILING.search(str(error))
            if more is None:
                at = _BYTE.search(str(error))
                where = _place(data, start + int(at[1]) - 1 if at else len(data))
                raise DocumentError(f"not valid JSON: {_BYTE.sub('', str(error)).strip()}", *where) from None
            end = int(more[1]) - 1
            value = msgspec.json.decode(view[start : start + end])
        _check_depth(value, limits)
        documents.append(Document(value, line))
        line += data.count(b"\n", start, start + end)
        start += end
    return documents


def _check_depth(value: Any, limits: Limits) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limits.max_depth):
        if not level:
            return
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
    raise DocumentError(f"nested deeper than {limits.max_depth} levels")


def _place(data: bytes, offset: int) -> tuple[int, int]:
    return data.count(b"\n", 0, offset) + 1, offset - data.rfind(b"\n", 0, offset)


# --- YAML ---

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset(form for word in ("true", "yes", "on") for form in (word, word.title(), word.upper()))
_FALSE = frozenset(form for word in ("false", "no", "off") for form in (word, word.title(), word.upper()))
_INT = re.compile(r"[-+]?(?:0b_*[01][01_]*|0o?_*[0-7][0-7_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|(?:0|[1-9][0-9_]*))")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_CORE = "tag:yaml.org,2002:"
_TAGS = frozenset(_CORE + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))
_MERGE = object()


@dataclass(slots=True)
class _Open:
    """A collection that is being read; `key` is the key that waits for its value."""

    value: Any
    anchor: str | None
    line: int
    key: Any = None
    has_key: bool = False
    merges: list[Any] | None = None


class _Builder:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._nodes = 0
        self._anchors: dict[str, Any] = {}
        self._stack: list[_Open] = []
        self.documents: list[Document] = []
        self._start = 1

    def feed(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}
            self._start = line
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise DocumentError(
                    f"alias *{one_line(event.anchor, _SHORT)} stands for nothing that is complete", line
                )
            self._add(self._copied(self._anchors[event.anchor], line), line)
        elif isinstance(event, yaml.ScalarEvent):
            self._count(1, line)
            value = _scalar(event, line)
            if event.anchor:
                self._anchors[event.anchor] = None if value is _MERGE else value
            self._add(value, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._count(1, line)
            if event.tag not in _TAGS and event.tag is not None:
                raise DocumentError(f"tag {one_line(event.tag, _SHORT)} is not allowed", line)
            if len(self._stack) >= self._limits.max_depth:
                raise DocumentError(f"nested deeper than {self._limits.max_depth} levels", line)
            self._stack.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor, line))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self._stack.pop()
            for merged in done.merges or ():
                for key, value in merged.items():
                    done.value.setdefault(key, value)
            if done.anchor:
                self._anchors[done.anchor] = done.value
            self._add(done.value, done.line)

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > self._limits.max_nodes:
            raise DocumentError(f"more than {self._limits.max_nodes} values", line)

    def _copied(self, value: Any, line: int) -> Any:
        """A copy, counted as it grows, so that aliases of aliases end at the budget and not in memory."""
        self._count(1, line)
        if isinstance(value, dict):
            return {key: self._copied(item, line) for key, item in value.items()}
        if isinstance(value, list):
            return [self._copied(item, line) for item in value]
        return value

    def _add(self, value: Any, line: int) -> None:
        if not self._stack:
            if value is not None:
                _check_depth(value, self._limits)
                self.documents.append(Document(None if value is _MERGE else value, self._start))
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append("<<" if value is _MERGE else value)
        elif not top.has_key:
            top.key, top.has_key = value if value is _MERGE else _key(value, line), True
        else:
            top.has_key = False
            if top.key is _MERGE:
                top.merges = [*(top.merges or []), *_merged(value, line)]
            elif top.key in top.value:
                raise DocumentError(f"key {one_line(top.key, _SHORT)!r} stands twice", line)
            else:
                top.value[top.key] = "<<" if value is _MERGE else value


def _yaml(text: str, limits: Limits) -> list[Document]:
    builder = _Builder(limits)
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise DocumentError(f"not valid YAML: {one_line(error.problem or str(error), 120)}", *where) from None
    except yaml.YAMLError as error:
        raise DocumentError(f"not valid YAML: {one_line(str(error), 120)}") from None
    except RecursionError:
        raise DocumentError("nested too deeply") from None
    return builder.documents


def _scalar(event: Any, line: int) -> Any:
    text, tag = event.value, event.tag
    if tag is not None and tag != "!":
        if tag not in _TAGS:
            raise DocumentError(f"tag {one_line(tag, _SHORT)} is not allowed", line)
        if tag == f"{_CORE}str":
            return text
    elif not event.implicit[0]:
        return text
    if text == "<<":
        return _MERGE
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return _integer(text, line)
    if _FLOAT.fullmatch(text) and any(character.isdigit() for character in text):
        number = float(text.replace("_", ""))
        if number in {float("inf"), float("-inf")}:
            raise DocumentError(f"number {one_line(text, _SHORT)} is too large", line)
        return number
    if _NOT_JSON.fullmatch(text):
        raise DocumentError(f"{text} is no JSON number", line)
    return text


def _integer(text: str, line: int) -> int:
    plain = text.replace("_", "").lower()
    sign = -1 if plain.startswith("-") else 1
    digits = plain.lstrip("+-")
    base = {"0x": 16, "0b": 2, "0o": 8}.get(digits[:2]) or (8 if digits.startswith("0") and len(digits) > 1 else 10)
    if len(digits) <= 66:
        number = sign * int(digits, base)
        if -(2**63) <= number < 2**64:
            return number
    raise DocumentError(f"integer {one_line(text, _SHORT)} has more than 64 bits", line)


def _key(value: Any, line: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    raise DocumentError("a key must be a string", line)


def _merged(value: Any, line: int) -> list[dict[str, Any]]:
    merged = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in merged):
        raise DocumentError("a merge key (<<) takes a mapping or a list of mappings", line)
    return merged
