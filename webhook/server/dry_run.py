"""Questions to `/dry-run`, as the serving process hands them to its worker process.

One worker process answers, one question at a time, of at most 512 KiB, each within 2 s from its arrival; more than
that is a 429 and costs the admissions nothing.
"""

import asyncio
import sys
from collections.abc import Callable

from webhook.server.frames import ANSWER, QUESTION
from webhook.server.http import HTTPError
from webhook.telemetry.log import Log

MAX_BODY = 512 * 1024
SECONDS = 2.0
WAITING = 8
"""Questions that may wait for the worker; one more is a 429 at once."""


class Worker:
    """The worker process: started at need, ended when it is too slow.

    `known` is a JSON array of the objects that every question is answered with; `minor` says the Kubernetes 1.x minor
    version whenever the process starts.
    """

    def __init__(self, known: bytes, minor: Callable[[], int], log: Log) -> None:
        self._known = known
        self._minor = minor
        self._log = log
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[asyncio.subprocess.Process] | None = None
        self._waiting = 0

    async def ask(self, body: bytes) -> tuple[int, bytes]:
        """HTTP status and body of the answer.

        Raises:
            HTTPError: 429, the worker is busy or the question took too long.

        """
        if self._waiting >= WAITING:
            raise HTTPError(429, "dry-run is busy: ask again in a moment, or use vmguard review")
        self._waiting += 1
        try:
            async with asyncio.timeout(SECONDS), self._lock:
                return await self._exchange(body)
        except TimeoutError:
            raise HTTPError(429, f"no answer within {SECONDS:g} s: ask for less, or use vmguard review") from None
        finally:
            self._waiting -= 1

    async def start(self) -> None:
        """Start the process ahead of the first question."""
        await self._running()

    async def stop(self) -> None:
        """End the process."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        process, self._process = self._process, None
        if process and process.returncode is None:
            process.kill()
            await process.wait()

    async def _exchange(self, body: bytes) -> tuple[int, bytes]:
        process = await self._running()
        try:
            return await self._frame(process, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise HTTPError(422, "the question is too large to be answered here: use vmguard review") from None

    async def _running(self) -> asyncio.subprocess.Process:
        """The process, started if there is none; a start goes on when whoever waited for it has given up."""
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "webhook.server.worker", str(self._minor()))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        try:
            await self._frame(process, self._known)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._log.write("error", "dry-run worker did not start")
            raise HTTPError(500, "dry-run does not work here; vmguard's log says why") from None
        self._process = process
        return process

    async def _frame(self, process: asyncio.subprocess.Process, body: bytes) -> tuple[int, bytes]:
        """Send a frame and read its answer; a process that did not answer whole is ended."""
        done = False
        try:
            assert process.stdin  # noqa: S101 - it is a pipe
            assert process.stdout  # noqa: S101 - it is a pipe
            process.stdin.write(QUESTION.pack(len(body)) + body)
            await process.stdin.drain()
            size, code = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
            answer = await process.stdout.readexactly(size)
            done = True
            return code, answer
        finally:
            if not done:  # too slow or dead: what is half read belongs to nobody
                self._process = None
                if process.returncode is None:
                    process.kill()
