"""The serving process's side of one worker process (`webhook.server.worker`): one question at a time over its pipes.

The first question starts the process. If the process does not answer in time, it is ended. The next start comes after a
pause, and the pause becomes longer while the process ends early.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence

from webhook.cluster.backoff import Backoff
from webhook.server.frames import ANSWER, QUESTION
from webhook.telemetry.line_budget import LineBudget
from webhook.telemetry.log import Log

START_SECONDS = 60.0
"""Most seconds for the start of the process, on a busy machine."""

LONGEST_PAUSE = 2.0
"""Most seconds between two starts."""


class WorkerStartError(Exception):
    """The process does not start."""


class WorkerEndedError(Exception):
    """The process ended before it answered."""


class WorkerProcess:
    """A process that serves one role of `webhook.server.worker`; each start reads the arguments again.

    `first` is the body of its first frame. `trouble` is the problem of its last use, "" for none.
    """

    def __init__(self, role: str, arguments: Callable[[], Sequence[str]], first: bytes, log: Log) -> None:
        self._role = role
        self._arguments = arguments
        self._first = first
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[asyncio.subprocess.Process] | None = None
        self._ends: set[asyncio.Task[tuple[bytes, bytes]]] = set()
        self._backoff = Backoff(0.1, LONGEST_PAUSE)
        self._began = 0.0
        self._budget = LineBudget()
        self.trouble = ""

    async def ask(self, body: bytes, seconds: float) -> tuple[int, bytes]:
        """HTTP status and body of the answer to a question, which may take so many seconds once the process runs.

        There is one question at a time. If the caller stops waiting for the answer, the process is ended.

        Raises:
            TimeoutError: there was no answer in time.
            WorkerStartError, WorkerEndedError: there is no process that answers.

        """
        process = await self._running()
        try:
            async with asyncio.timeout(seconds):
                answer = await self._exchange(process, body)
        except TimeoutError:
            self._failed(f"the {self._role} worker did not answer within {seconds:g} s and was ended")
            raise
        except (asyncio.IncompleteReadError, ConnectionError):
            self._failed(f"the {self._role} worker ended before it answered")
            raise WorkerEndedError(self.trouble) from None
        self.trouble = ""
        return answer

    async def start(self) -> None:
        """Start the process before the first question."""
        await self._running()

    async def stop(self) -> None:
        """End the process."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        process, self._process = self._process, None
        if process:
            self._end(process)
        await asyncio.gather(*self._ends, return_exceptions=True)

    async def _running(self) -> asyncio.subprocess.Process:
        """The process, started if there is none; a start goes on also when its caller has stopped waiting."""
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._starting)

    async def _start(self) -> asyncio.subprocess.Process:
        now = asyncio.get_running_loop().time
        if self._began:
            await asyncio.sleep(self._backoff.after(now() - self._began))
        self._began = now()
        command = (sys.executable, "-m", "webhook.server.worker", self._role, *self._arguments())
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._exchange(process, self._first)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            self._failed(f"the {self._role} worker does not start")
            raise WorkerStartError(self.trouble) from None
        self._process = process
        return process

    def _end(self, process: asyncio.subprocess.Process) -> None:
        """Kill a process, and wait for its end in the background."""
        if process.returncode is None:
            process.kill()
        end = asyncio.create_task(process.communicate())
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)

    def _failed(self, trouble: str) -> None:
        self.trouble = trouble
        more = self._budget.fields(self._role)
        if more is not None:
            self._log.write("error", "worker failed", reason=trouble, **more)

    async def _exchange(self, process: asyncio.subprocess.Process, body: bytes) -> tuple[int, bytes]:
        """Send a frame and read its answer; end a process without a complete answer."""
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
            if not done:  # too slow or dead: a partly read answer must not reach another question
                self._process = None
                self._end(process)
