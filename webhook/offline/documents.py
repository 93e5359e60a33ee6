"""Reads untrusted text into plain JSON values: JSON or YAML, one or many documents, within hard limits.

msgspec decodes JSON. For YAML, this module builds the values from PyYAML's events. So no tag makes an object, no alias
or merge key multiplies beyond the budget, and no scalar becomes a date. Scalars become the same values as in kubectl
(YAML 1.1). The module opens no file, and every failure is a `DocumentError` of one line.

It first cuts a text at its `---` lines, so an unreadable document hides no other one.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import msgspec
import yaml

from webhook.offline.helm_templates import first_action, is_helms, without_actions
from webhook.text import one_line


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one text: its bytes, the values that it may expand to, and how deep they nest."""

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


class TemplateError(DocumentError):
    """A document of a Helm template that is not rendered."""


class _TooManyValuesError(DocumentError):
    """The values of the whole text are over the limit."""


class _TruncatedError(DocumentError):
    """JSON that ends too early; YAML cannot be any better."""


_BYTE_ORDER_MARK = re.compile(b"^" + BOM_UTF8, re.MULTILINE)
"""What editors on Windows begin a file with; where files are joined, it stands at the start of a later line."""


def read_documents(data: bytes, *, limits: Limits) -> list[Document]:
    """The documents in a text.

    Raises:
        DocumentError: not UTF-8, neither JSON nor YAML, unsafe, or over the limits.

    """
    documents = []
    for found in read_each(data, limits=limits):
        if isinstance(found, DocumentError):
            raise found
        documents.append(found)
    return documents


def read_each(data: bytes, *, limits: Limits) -> Iterator[Document | DocumentError]:
    """The documents of a text in order, and instead of each unreadable one the error.

    Documents follow each other after `---`. JSON values need no `---` between them. Each document is JSON or YAML. An
    error of the whole text is the last item. Of several unrendered documents of a template only the first is an item.
    """
    if len(data) > limits.max_bytes:
        yield DocumentError(f"{len(data)} bytes are too many: at most {limits.max_bytes} are read")
        return
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield DocumentError("UTF-16 text; save it as UTF-8")
        return
    if data.startswith(b"\x1f\x8b"):
        yield DocumentError("compressed by gzip; unpack it first")
        return
    if BOM_UTF8 in data:
        data = _BYTE_ORDER_MARK.sub(b"", data)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        yield DocumentError("not UTF-8 text", *_place(data, error.start))
        return
    is_template = False
    for found in _Reader(data, limits).read():
        if isinstance(found, TemplateError):
            if is_template:
                continue
            is_template = True
        yield found
        if isinstance(found, _TooManyValuesError):
            return


_LARGEST_WHOLE = 2**63


def _number(number: float) -> int | float:
    """A number as kubectl sends it: `1e3` and `1000.0` are 1000, which is an integer for the API server."""
    return int(number) if number.is_integer() and abs(number) < _LARGEST_WHOLE else number


def _json_number(text: str) -> int | float:
    number = float(text)
    if abs(number) == inf:
        raise ValueError("Number out of range")
    return _number(number)


_decode = msgspec.json.Decoder(float_hook=_json_number).decode

# msgspec counts bytes from 1 where it names one
_BYTE = re.compile(r"\(byte (\d+)\)")
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")

_MARKER = re.compile(rb"(?:^|(?<=\r))(?:---|\.\.\.)(?=[ \t\r\n]|\Z)", re.MULTILINE)
"""A marker between documents. At the start of a line it is one everywhere in YAML, and JSON never has it there."""

_PRELUDE = re.compile(rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*(?:#[^\n]*\Z)?")
"""The text before the value of a document: blank lines and comments."""

_DIRECTIVES = re.compile(rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*%(?:[^\n]*\n)(?:[%#][^\n]*\n|[ \t\r]*\n)*")

_OPEN_VALUE = re.compile(rb"\{(?!\{)|\[")
_VALUE_LINE = re.compile(rb"^\{(?!\{)", re.MULTILINE)
"""A line that may begin a JSON value. `{{` begins an action of a template and no JSON value."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The bytes of a text from `start` to `end`; `line` is that of its first byte, from 1."""

    start: int
    end: int
    line: int
    marked: bool = False
    """Whether it begins with a marker."""


class _Reader:
    """Reads the parts of one text, which share the limit on values."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._limits = limits
        self._nodes = 0

    def read(self) -> Iterator[Document | DocumentError]:
        """Each document, or its error."""
        for part in self._parts():
            after_marker = part.start + 3 * part.marked
            prelude = _PRELUDE.match(self._data, after_marker, part.end)
            start = prelude.end() if prelude else after_marker
            if start == part.end:
                continue
            if not _OPEN_VALUE.match(self._data, start, part.end):
                yield from self._yaml(part)
                continue
            nodes = self._nodes
            found = list(self._values(part, start))
            if any(isinstance(each, DocumentError) for each in found):
                self._nodes = nodes
                yield from self._values_by_lines(part, start)
            else:
                yield from found

    def _parts(self) -> Iterator[_Part]:
        """The text, cut before each `---` and after each `...`; directives are left before their `---`."""
        start, line, marked = 0, 1, False
        for marker in _MARKER.finditer(self._data):
            if not marked and _DIRECTIVES.fullmatch(self._data, start, marker.start()):
                continue
            yield _Part(start, marker.start(), line, marked)
            line += self._data.count(b"\n", start, marker.start())
            marked = marker[0] == b"---"
            start = marker.start() if marked else marker.end()
        yield _Part(start, len(self._data), line, marked)

    def _values(self, part: _Part, start: int) -> Iterator[Document | DocumentError]:
        """JSON values from `start`, then YAML; nothing after an error of both."""
        line = part.line + self._data.count(b"\n", part.start, start)
        rest = part if part.marked else _Part(start, part.end, line)
        while start < part.end:
            try:
                value, end = self._json(start, part.end, line)
            except DocumentError as error:
                yield from self._yaml_instead(rest, error)
                return
            if value is not None:
                yield self._checked(value, rest.line)
            line += self._data.count(b"\n", start, end)
            start = end
            rest = _Part(start, part.end, line)

    def _values_by_lines(self, part: _Part, start: int) -> Iterator[Document | DocumentError]:
        """The same, with a new start at each line that may begin a value, so that an error ends at the next one."""
        cuts = [found.start() for found in _VALUE_LINE.finditer(self._data, start + 1, part.end)]
        line, piece_start = part.line, part.start
        for piece_end in [*cuts, part.end]:
            piece = _Part(piece_start, piece_end, line, part.marked and piece_start == part.start)
            yield from self._values(piece, max(start, piece_start))
            line += self._data.count(b"\n", piece_start, piece_end)
            piece_start = piece_end

    def _json(self, start: int, end: int, line: int) -> tuple[Any, int]:
        """The JSON value at `start`, which is in that line, and where the next one may begin.

        Raises:
            DocumentError: there is no JSON value.

        """
        view = memoryview(self._data)[start:end]
        try:
            return _decode(view), end
        except RecursionError:
            raise DocumentError("nested too deeply", line) from None
        except msgspec.DecodeError as error:
            more = _TRAILING.search(str(error))
            if more is not None:
                length = int(more[1]) - 1
                return _decode(view[:length]), start + length
            at = _BYTE.search(str(error))
            kind, offset = (DocumentError, start + int(at[1]) - 1) if at else (_TruncatedError, end)
            text = f"not valid JSON: {_BYTE.sub('', str(error)).strip()}"
            raise kind(text, *_place(self._data, offset, start, line)) from None

    def _checked(self, value: Any, line: int) -> Document | DocumentError:
        try:
            _check_depth(value, self._limits)
        except DocumentError as error:
            return DocumentError(str(error), line)
        return Document(value, line)

    def _yaml_instead(self, part: _Part, json_error: DocumentError) -> list[Document | DocumentError]:
        """A part as YAML; if it is no YAML, the later one of the two errors."""
        if isinstance(json_error, _TruncatedError):
            return [json_error]
        found = self._yaml(part)
        return [
            json_error if type(each) is DocumentError and _position(each) <= _position(json_error) else each
            for each in found
        ]

    def _yaml(self, part: _Part) -> list[Document | DocumentError]:
        """The YAML document that a part is, or its error."""
        text = self._data[part.start : part.end].decode()
        builder = _Builder(self._limits, self._nodes, part.line)
        try:
            builder.build(text)
        except _TooManyValuesError as error:
            return [error]
        except DocumentError as error:
            return [self._as_template(text, part.line, error) or error]
        self._nodes = builder.nodes
        return [*builder.documents]

    def _as_template(self, text: str, first_line: int, error: DocumentError) -> TemplateError | None:
        """The same error as that of a template, None where the syntax of templates is not the cause."""
        line = first_action(text)
        if line is None:
            return None
        if not is_helms(text):
            try:
                _Builder(self._limits, self._nodes, first_line).build(without_actions(text))
            except DocumentError as without:
                if _position(without) <= _position(error):
                    return None
        return TemplateError("a Helm template that is not rendered", first_line + line - 1)


def _position(error: DocumentError) -> tuple[int, float]:
    """The position of an error, for comparison; without a column it is the end of the line."""
    return error.line or 0, error.column or inf


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


def _place(data: bytes, offset: int, start: int = 0, line: int = 1) -> tuple[int, int]:
    """The line and the column of an offset, by the line of an earlier one."""
    return line + data.count(b"\n", start, offset), offset - data.rfind(b"\n", 0, offset)


# --- YAML ---

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset(form for word in ("true", "yes", "on", "y") for form in (word, word.title(), word.upper()))
_FALSE = frozenset(form for word in ("false", "no", "off", "n") for form in (word, word.title(), word.upper()))
_INT = re.compile(r"[-+]?(?:0b_*[01][01_]*|0o?_*[0-7][0-7_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|(?:0|[1-9][0-9_]*))")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9][0-9_]*)?")
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
    """Builds the documents of a text that begins in line `first_line`; `nodes` counts on from values before it."""

    def __init__(self, limits: Limits, nodes: int, first_line: int) -> None:
        self._limits = limits
        self.nodes = nodes
        self._anchors: dict[str, Any] = {}
        self._stack: list[_Open] = []
        self.documents: list[Document] = []
        self._first_line = first_line
        self._start = first_line

    def build(self, text: str) -> None:
        """Add the documents of the text.

        Raises:
            DocumentError: not YAML, unsafe, or over the limits.

        """
        try:
            for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                self._feed(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = (mark.line + self._first_line, mark.column + 1) if mark else (None, None)
            raise DocumentError(f"not valid YAML: {one_line(error.problem or str(error), 120)}", *where) from None
        except yaml.YAMLError as error:
            raise DocumentError(f"not valid YAML: {one_line(str(error), 120)}") from None
        except RecursionError:
            raise DocumentError("nested too deeply") from None

    def _feed(self, event: Any) -> None:
        line = event.start_mark.line + self._first_line
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}
            self._start = line
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise DocumentError(
                    f"the YAML alias *{one_line(event.anchor, _SHORT)} has no anchor before it, or is inside its own"
                    " anchor",
                    line,
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
        self.nodes += nodes
        if self.nodes > self._limits.max_nodes:
            raise _TooManyValuesError(f"more than {self._limits.max_nodes} values", line)

    def _copied(self, value: Any, line: int) -> Any:
        """A copy with a count of its values, so that aliases of aliases end at the limit and do not fill the memory."""
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
        return _number(number)
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
