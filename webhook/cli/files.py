"""Files that a person names on the command line, read into documents; `-` is standard input."""

import sys
from pathlib import Path
from typing import Any

from webhook.cli.usage import UsageError
from webhook.offline.documents import COMMAND_LINE, DocumentError, read_documents


def read_files(names: list[str]) -> list[tuple[str, Any]]:
    """`(place, value)` of every document in the files, in order.

    Raises:
        UsageError: a file cannot be read, or is neither JSON nor YAML; the text is `FILE:LINE:COLUMN: what is wrong`.

    """
    documents: list[tuple[str, Any]] = []
    for name in names:
        shown = "stdin" if name == "-" else name
        try:
            data = _standard_input() if name == "-" else _bounded(name)
        except OSError as error:
            raise UsageError(f"{shown}: {error.strerror or error}") from None
        if not data.strip():
            raise UsageError(f"{shown}: empty; what was to fill it may have failed")
        try:
            documents += [(f"{shown}:{found.line}", found.value) for found in read_documents(data, limits=COMMAND_LINE)]
        except DocumentError as error:
            where = ":".join(str(part) for part in (shown, error.line, error.column) if part is not None)
            raise UsageError(f"{where}: {error}") from None
    return documents


def _bounded(name: str) -> bytes:
    """The bytes of a file, FIFO or device, and no more than show that there are too many."""
    with Path(name).open("rb") as file:
        return file.read(COMMAND_LINE.max_bytes + 1)


def _standard_input() -> bytes:
    if sys.stdin is None:  # it was closed before the start
        raise UsageError("stdin: closed; name a file, or pipe something in")
    return sys.stdin.buffer.read(COMMAND_LINE.max_bytes + 1)
