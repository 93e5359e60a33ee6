"""The log: one JSON object a line on standard error. It carries what is given and never a request's body or headers."""

import logging
import sys
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from webhook.words import one_line

_FRAMES = 4
"""Places that a line names of an error's way."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """Lines of one process; those less severe than `level` are left out."""

    def __init__(self, level: str = "info", stream: BinaryIO | None = None) -> None:
        self._least = LEVELS[level]
        self._stream = stream or sys.stderr.buffer
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._second = 0
        self._date = ""

    def write(self, level: str, message: str, **fields: Any) -> None:
        """One line: time (UTC, RFC 3339), level, message, and the fields."""
        if LEVELS[level] < self._least:
            return
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._date = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        stamp = f"{self._date}.{int((now - second) * 1000):03}Z"
        line = self._encode({"time": stamp, "level": level, "message": message, **fields})
        try:
            self._stream.write(line + b"\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # a log that cannot be written must not cost a pod its admission


def described(error: BaseException) -> dict[str, Any]:
    """An error for a log line: its type and text, and where it arose, innermost place last."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": one_line(repr(error), 500), "where": places}


class Handler(logging.Handler):
    """Takes what libraries log through `logging` into the same lines, an exception by type, text and place."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= described(record.exc_info[1])
        level = next((name for name, number in reversed(LEVELS.items()) if record.levelno >= number), "debug")
        self._log.write(level, record.getMessage(), **fields)
