"""Questions to `/dry-run`: the serving process passes them to its worker process.

One worker process answers one question at a time, of at most 512 KiB, within 2 s of its arrival. Beyond these limits
the answer is a 413 or a 429, and admissions do not wait.
"""

import asyncio

from webhook.server.http import HTTPError
from webhook.server.worker_process import WorkerEndedError, WorkerProcess, WorkerStartError

MAX_BODY = 512 * 1024
SECONDS = 2.0
WAITING = 8
"""Questions that may wait for the worker; one more is a 429 at once."""


class DryRun:
    """The questions, one at a time."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._lock = asyncio.Lock()
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
                return await self._worker.ask(body, SECONDS)
        except TimeoutError:
            raise HTTPError(429, f"no answer within {SECONDS:g} s: ask for less, or use vmguard review") from None
        except WorkerEndedError:
            raise HTTPError(422, "the question is too large to be answered here: use vmguard review") from None
        except WorkerStartError:
            raise HTTPError(500, "dry-run does not work here; vmguard's log says why") from None
        finally:
            self._waiting -= 1
