"""The worker: a process of its own, so that neither a person's question nor a preview ever slows an admission.

It serves one role: `dry-run` answers questions to `/dry-run`, `preview` makes the previews of resources. It reads
frames on standard input and writes framed answers on standard output, one at a time. It answers the first frame with an
empty frame. Every further frame is a question. A frame has four bytes of length, in an answer two of HTTP status, and
then the body. The kernel limits its memory. It runs with a lower priority than the server.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from webhook.server.frames import ANSWER, QUESTION
from webhook.server.http import error_body
from webhook.settings import Settings

PRIORITY = 10
"""The nice value, from 0 (the server's) to 19."""

PREVIEW_SECONDS = 1.0
"""Most processor time for one preview; previews of recorded resources take some milliseconds."""

_AGAIN = 0.1
"""Seconds until the next signal: Python ignores exceptions in some places, so the exception of one can get lost."""

MOST_ANSWER = 256 * 1024
"""Most bytes of a preview: of more findings, a person sees the first few."""

Answering = Callable[[bytes], tuple[int, bytes]]
"""HTTP status and body of the answer to a question."""


class _OutOfTimeError(BaseException):
    """The processor time of a preview is used up."""


def dry_run(first: bytes, arguments: list[str], settings: Settings) -> Answering:
    """Answers to `/dry-run`. `first` is the known objects, a JSON array; the argument is the 1.x minor version."""
    from webhook.offline.answer import QuestionError, answer  # noqa: PLC0415 - the other role needs no YAML

    known: tuple[dict[str, Any], ...] = tuple(msgspec.json.decode(first))
    minor = int(arguments[0])

    def answered(body: bytes) -> tuple[int, bytes]:
        try:
            return 200, msgspec.json.encode(answer(body, known, settings, minor))
        except QuestionError as error:
            return error.code, error_body(error.code, str(error))
        except (MemoryError, RecursionError):
            return 422, error_body(422, "the question is too large to be answered here: use vmguard review")
        except Exception as error:  # noqa: BLE001 - the process goes on; the person gets no trace
            _log("dry run failed", error, settings)
            return 500, error_body(500, "vmguard failed on this question; its log says why")

    return answered


def preview(first: bytes, arguments: list[str], settings: Settings) -> Answering:  # noqa: ARG001 - as all roles
    """Previews, each with limited processor time: 200 with a preview, 413 for too much work, 500 for an error."""
    from webhook.server.preview_frames import decode_request, encode_preview  # noqa: PLC0415 - as above

    signal.signal(signal.SIGPROF, _end_preview)

    def timed(body: bytes) -> bytes:
        signal.setitimer(signal.ITIMER_PROF, PREVIEW_SECONDS, _AGAIN)
        try:
            return encode_preview(decode_request(body, settings).preview())
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def answered(body: bytes) -> tuple[int, bytes]:
        try:
            answer = timed(body)
        except (_OutOfTimeError, MemoryError, RecursionError):
            return 413, b""
        except Exception as error:  # noqa: BLE001 - the process goes on, and the resource is admitted
            _log("preview failed", error, settings)
            return 500, b""
        return (200, answer) if len(answer) <= MOST_ANSWER else (413, b"")

    return answered


def _end_preview(*_: object) -> NoReturn:
    raise _OutOfTimeError


ROLES: dict[str, tuple[Callable[[bytes, list[str], Settings], Answering], int]] = {
    "dry-run": (dry_run, 1024 * 1024 * 1024),
    "preview": (preview, 256 * 1024 * 1024),
}
"""The roles of a worker, with the most bytes of address space; a preview takes at most about 60 MiB."""


def main(arguments: list[str]) -> int:
    """Serve one role until standard input ends; the arguments are its name and its own arguments."""
    role, memory = ROLES[arguments[0]]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    answering: Answering | None = None
    while header := sys.stdin.buffer.read(QUESTION.size):
        body = sys.stdin.buffer.read(QUESTION.unpack(header)[0])
        if answering is None:
            answering = role(body, arguments[1:], Settings.from_environment(os.environ))
            os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
            code, text = 200, b""
        else:
            code, text = answering(body)
        sys.stdout.buffer.write(ANSWER.pack(len(text), code) + text)
        sys.stdout.buffer.flush()
    return 0


def _log(message: str, error: Exception, settings: Settings) -> None:
    # The log imports asyncio and with it TLS: 10 MiB of the 27 that each replica would need for its worker.
    from webhook.telemetry.log import Log, described  # noqa: PLC0415

    Log(settings.log_level, form=settings.log_format).write("error", message, **described(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
