"""Files that a person names on the command line, read into documents; `-` is standard input."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from webhook.cli.usage import LONGEST_ERROR, UsageError
from webhook.offline.documents import COMMAND_LINE, DocumentError, TemplateError, read_each
from webhook.text import one_line

RENDER = ". Render it first: helm template … | vmguard review -"
"""What to do with an unrendered template."""


class ReadingProblems:
    """Prints each problem of an input as a line on standard error, and counts them."""

    def __init__(self, command: str) -> None:
        self._command = command
        self.count = 0

    def unreadable(self, text: str) -> None:
        """A file or a document that is no Kubernetes object in JSON or YAML."""
        self.count += 1
        print(one_line(text, LONGEST_ERROR), file=sys.stderr)

    def unusable(self, text: str) -> None:
        """An object that cannot be judged, or judged by."""
        self.unreadable(f"vmguard {self._command}: {text}")


def read_files(names: list[str]) -> list[tuple[str, Any]]:
    """`(place, value)` of every document in the files, in order.

    Raises:
        UsageError: a file cannot be read, or is neither JSON nor YAML; the text is `FILE:LINE:COLUMN: what is wrong`.

    """
    return list(read_each_file(names, _refuse))


def read_each_file(names: list[str], unreadable: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
    """The same, with `unreadable` called for each file and each document that cannot be read."""
    for name in names:
        shown = "stdin" if name == "-" else name
        try:
            data = _standard_input() if name == "-" else _bounded(name)
        except OSError as error:
            unreadable(f"{shown}: {error.strerror or error}")
            continue
        except UsageError as error:
            unreadable(str(error))
            continue
        if not data.strip():
            unreadable(f"{shown}: empty; what was to fill it may have failed")
            continue
        for found in read_each(data, limits=COMMAND_LINE):
            if isinstance(found, DocumentError):
                unreadable(_problem(shown, found))
            else:
                yield f"{shown}:{found.line}", found.value


def _refuse(text: str) -> None:
    raise UsageError(text)


def _problem(shown: str, error: DocumentError) -> str:
    """The place and the error in one line."""
    place = ":".join(str(part) for part in (shown, error.line, error.column) if part is not None)
    fix = RENDER if isinstance(error, TemplateError) else ""
    return f"{place}: {error}{fix}"


def _bounded(name: str) -> bytes:
    """The bytes of a file, FIFO or device, and no more than show that there are too many."""
    with Path(name).open("rb") as file:
        return file.read(COMMAND_LINE.max_bytes + 1)


def _standard_input() -> bytes:
    if sys.stdin is None:  # it was closed before the start
        raise UsageError("stdin: closed; name a file, or pipe something in")
    return sys.stdin.buffer.read(COMMAND_LINE.max_bytes + 1)
