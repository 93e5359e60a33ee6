"""The log: one line for each event on standard error, as JSON or, on a terminal, as text for people.

It has the given fields, never a request's body or headers.
"""

import asyncio
import json
import logging
import re
import sys
import time
import traceback
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from webhook.telemetry.line_budget import LineBudget
from webhook.text import one_line

_LONGEST = 500
"""Most characters of an error, and of a library's message."""

_FRAMES = 4
"""Most places in the code that a line names for an error."""

_BUFFER = 64 * 1024
"""Bytes of lines that one turn of the event loop collects; a full buffer is written at once."""

_MILLISECONDS = [f".{number:03}Z" for number in range(1000)]

_PLAIN = re.compile(r"[\w./:@%+,*-]+", re.ASCII)
"""Text that needs no quotes in a line for people."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Line(msgspec.Struct, frozen=True, gc=False):
    """The fields of every line; a subclass adds its own."""

    time: str
    level: str
    message: str


class Log:
    """Lines of one process; those less severe than `level` are left out.

    In an event loop it writes the lines of one turn together, at its end. It writes a warning or an error at once, with
    all lines before it, and also every line outside an event loop.
    """

    def __init__(
        self, level: str = "info", stream: BinaryIO | None = None, form: Literal["auto", "json", "text"] = "auto"
    ) -> None:
        self._least = LEVELS[level]
        self._stream = stream or _standard_error()
        self._as_text = form == "text" or (form == "auto" and self._stream.isatty())
        weakref.finalize(self, _flush, self._stream)  # for every normal end of the process
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._second = 0
        self._date = ""
        self._flushing_in: asyncio.AbstractEventLoop | None = None

    def write(self, level: str, message: str, **fields: Any) -> None:
        """One line: time (UTC, RFC 3339), level, message, and the fields."""
        if LEVELS[level] >= self._least:
            self._write(level, self._line({"time": self.stamp(), "level": level, "message": message, **fields}))

    def write_line(self, line: Line) -> None:
        """One line from its struct, which encodes faster than a dict of fields."""
        if LEVELS[line.level] >= self._least:
            self._write(line.level, self._line(line))

    def _line(self, fields: Line | dict[str, Any]) -> bytes:
        line = self._encode(fields)
        return (_for_people(msgspec.json.decode(line)) if self._as_text else line) + b"\n"

    def stamp(self) -> str:
        """The current time in the form of a line."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._date = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return self._date + _MILLISECONDS[int((now - second) * 1000)]

    def _write(self, level: str, line: bytes) -> None:
        try:
            self._stream.write(line)
        except (OSError, ValueError):  # a log that cannot be written must not cost a pod its admission
            return
        if LEVELS[level] >= LEVELS["warning"]:
            self.flush()
        elif not self._flushing_in or not self._flushing_in.is_running():
            try:
                self._flushing_in = asyncio.get_running_loop()
            except RuntimeError:
                self.flush()
            else:
                self._flushing_in.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._flushing_in = None
        self.flush()

    def flush(self) -> None:
        """Write out the lines in the buffer."""
        _flush(self._stream)


def _for_people(fields: dict[str, Any]) -> bytes:
    """Time, level and message, then each field that is not empty as `name=value`; odd characters as JSON has them."""
    time_, level, message = (fields.pop(name) for name in ("time", "level", "message"))
    shown = [f"{name}={_shown(value)}" for name, value in fields.items() if value not in ("", [], {}, None)]
    return " ".join((f"{time_} {level.upper():7} {message}", *shown)).encode()


def _shown(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value)


def _flush(stream: BinaryIO) -> None:
    with suppress(OSError, ValueError):
        stream.flush()


def _standard_error() -> BinaryIO:
    """Standard error with a buffer of its own: PYTHONUNBUFFERED, which images often set, takes Python's away."""
    try:
        return open(sys.stderr.fileno(), "wb", _BUFFER, closefd=False)
    except (OSError, ValueError):  # a program has replaced it by an object without a file
        return sys.stderr.buffer


def described(error: BaseException) -> dict[str, Any]:
    """An error for a log line: its type and text, and where it happened, innermost place last."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": one_line(repr(error), _LONGEST), "where": places}


class Handler(logging.Handler):
    """Writes messages that libraries log through `logging` as the same lines, an exception with type, text and place.

    A client can make some libraries log for each of its connections, so each place in their code has a limit of lines.
    """

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._budget = LineBudget()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        more = self._budget.fields(f"{record.pathname}:{record.lineno}")
        if more is None:
            return
        fields: dict[str, Any] = {"logger": record.name, **more}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= described(record.exc_info[1])
        level = next((name for name, number in reversed(LEVELS.items()) if record.levelno >= number), "debug")
        self._log.write(level, one_line(record.getMessage(), _LONGEST), **fields)
