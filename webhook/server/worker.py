"""The dry-run worker: a process of its own, so that a person's question never slows an admission.

Reads framed questions on standard input and writes framed answers on standard output, one at a time. A frame is four
bytes of length and, in an answer, two of HTTP status, then the body. Its memory is bounded by the kernel.
"""

import asyncio
import os
import resource
import signal
import struct
import sys
from typing import Any

import msgspec

from webhook.offline.answer import QuestionError, answer
from webhook.offline.documents import COMMAND_LINE, read_documents
from webhook.offline.inputs import facts_only
from webhook.server.http import error_body
from webhook.settings import Settings

QUESTION = struct.Struct("!I")
ANSWER = struct.Struct("!IH")
MEMORY = 1024 * 1024 * 1024
"""Bytes of address space."""


def main(arguments: list[str]) -> int:
    """Serve until standard input ends. Arguments: the Kubernetes minor version, then files with known objects."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    minor, settings = int(arguments[0]), Settings.from_environment(os.environ)
    known: tuple[dict[str, Any], ...] = ()
    for name in arguments[1:]:
        with open(name, "rb") as file:  # noqa: PTH123 - a path of our own parent
            documents = read_documents(file.read(), limits=COMMAND_LINE)
        known += facts_only((name, document.value) for document in documents)
    while header := sys.stdin.buffer.read(QUESTION.size):
        body = sys.stdin.buffer.read(QUESTION.unpack(header)[0])
        code, text = _answered(body, known, settings, minor)
        sys.stdout.buffer.write(ANSWER.pack(len(text), code) + text)
        sys.stdout.buffer.flush()
    return 0


def _answered(body: bytes, known: tuple[dict[str, Any], ...], settings: Settings, minor: int) -> tuple[int, bytes]:
    try:
        return 200, msgspec.json.encode(asyncio.run(answer(body, known, settings, minor)))
    except QuestionError as error:
        return error.code, error_body(error.code, str(error))
    except (MemoryError, RecursionError):
        return 422, error_body(422, "the question is too large to be answered here: use vmguard review")
    except Exception as error:  # noqa: BLE001 - the process goes on; the person gets no trace
        print(repr(error), file=sys.stderr)  # noqa: T201 - its only way to say it
        return 500, error_body(500, "vmguard failed on this question; its log says why")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
