"""The dry-run worker: a process of its own, so that a person's question never slows an admission.

Reads frames on standard input and writes framed answers on standard output, one at a time. The first frame is the known
objects, a JSON array, and is answered with an empty frame; every further one is a question. A frame is four bytes of
length and, in an answer, two of HTTP status, then the body. Its memory is bounded by the kernel.
"""

import os
import resource
import signal
import sys
from typing import Any

import msgspec

from webhook.offline.answer import QuestionError, answer
from webhook.server.frames import ANSWER, QUESTION
from webhook.server.http import error_body
from webhook.settings import Settings

MEMORY = 1024 * 1024 * 1024
"""Bytes of address space."""


def main(arguments: list[str]) -> int:
    """Serve until standard input ends. The one argument is the Kubernetes 1.x minor version."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    minor, settings = int(arguments[0]), Settings.from_environment(os.environ)
    known: tuple[dict[str, Any], ...] | None = None
    while header := sys.stdin.buffer.read(QUESTION.size):
        body = sys.stdin.buffer.read(QUESTION.unpack(header)[0])
        if known is None:
            known = tuple(msgspec.json.decode(body))
            code, text = 200, b""
        else:
            code, text = _answered(body, known, settings, minor)
        sys.stdout.buffer.write(ANSWER.pack(len(text), code) + text)
        sys.stdout.buffer.flush()
    return 0


def _answered(body: bytes, known: tuple[dict[str, Any], ...], settings: Settings, minor: int) -> tuple[int, bytes]:
    try:
        return 200, msgspec.json.encode(answer(body, known, settings, minor))
    except QuestionError as error:
        return error.code, error_body(error.code, str(error))
    except (MemoryError, RecursionError):
        return 422, error_body(422, "the question is too large to be answered here: use vmguard review")
    except Exception as error:  # noqa: BLE001 - the process goes on; the person gets no trace
        _log(error, settings)
        return 500, error_body(500, "vmguard failed on this question; its log says why")


def _log(error: Exception, settings: Settings) -> None:
    # The log brings asyncio and with it TLS: 10 MiB of the 27 that each replica would keep for its worker.
    from webhook.telemetry.log import Log, described  # noqa: PLC0415

    Log(settings.log_level).write("error", "dry run failed", **described(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
