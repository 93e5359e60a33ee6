"""Previews of resources, made in a worker process, so that none takes the event loop's time from other requests.

A preview takes far longer than a decision, and a tenant can make it slow. So the process makes one at a time, the
namespaces take turns, and only a few requests of each wait. Without a preview in time, vmguard admits the resource. No
security depends on it: the API server refuses an invalid pod, and vmguard judges each pod at its creation.
"""

import asyncio
from collections.abc import Callable

import msgspec

from webhook.policy.preview import NotPreviewed, Preview, PreviewRequest
from webhook.round_robin import RoundRobin
from webhook.server.preview_frames import decode_preview, encode_request
from webhook.server.worker_process import WorkerEndedError, WorkerProcess, WorkerStartError
from webhook.telemetry.line_budget import LineBudget
from webhook.telemetry.log import Log, described

MOST_BYTES = 1024 * 1024
"""Most bytes of one request: an update has two states of a resource, and one over 512 KiB gets no preview."""

MOST_WAITING_OF_ONE = 4
"""Most waiting requests of one namespace."""

MOST_WAITING = 64
"""Most waiting requests of all namespaces."""

MOST_BYTES_WAITING_OF_ONE = 512 * 1024
MOST_BYTES_WAITING = 2 * 1024 * 1024
"""Most bytes of the waiting requests. A decoded resource takes up to sixty times its bytes of JSON."""

WAIT_SECONDS = 5.0
"""Most seconds from a request to its answer; a person waits for it at `kubectl apply`."""

RUN_SECONDS = 3.0
"""Most seconds of one preview. The worker itself ends one after 1 s of processor time; this is for one that hangs."""

TOO_BUSY, TOO_LARGE, FAILED = NotPreviewed("too busy"), NotPreviewed("too large"), NotPreviewed("failed")

PreviewAnswer = Preview | NotPreviewed


class _Waiting(msgspec.Struct, frozen=True, eq=False):
    """A request that waits for the worker, as the body of its frame."""

    body: bytes
    answer: asyncio.Future[PreviewAnswer]


class Previews:
    """The previews of one server. `count` is called with the outcome of each request."""

    def __init__(self, worker: WorkerProcess, count: Callable[[str], None], log: Log) -> None:
        self._worker = worker
        self._count = count
        self._log = log
        self._queue: RoundRobin[_Waiting] = RoundRobin()
        self._bytes: dict[str, int] = {}
        self._working: asyncio.Task[None] | None = None
        self._budget = LineBudget()

    @property
    def trouble(self) -> str:
        """Why no previews are made, for a person; "" while they are."""
        return self._worker.trouble

    def now(self, request: PreviewRequest) -> Preview | None:  # noqa: ARG002 - the protocol's shape
        """None: no preview is made in this process."""
        return None

    async def get(self, request: PreviewRequest, deadline: float) -> PreviewAnswer:
        """The preview, by the deadline and within WAIT_SECONDS."""
        answer = await self._get(request, deadline)
        self._count("previewed" if isinstance(answer, Preview) else answer.reason.replace(" ", "-"))
        return answer

    async def stop(self) -> None:
        """Make no more previews, and end the process."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        await self._worker.stop()

    async def _get(self, request: PreviewRequest, deadline: float) -> PreviewAnswer:
        namespace = request.pods.resource.namespace
        if self._queue.waiting(namespace) >= MOST_WAITING_OF_ONE or len(self._queue) >= MOST_WAITING:
            return TOO_BUSY
        try:
            body = encode_request(request)
        except RecursionError:
            return TOO_LARGE
        if len(body) > MOST_BYTES:
            return TOO_LARGE
        if self._working and not self._working.done() and not self._has_room(namespace, len(body)):
            return TOO_BUSY
        loop = asyncio.get_running_loop()
        waiting = _Waiting(body, loop.create_future())
        self._queue.add(namespace, waiting)
        self._bytes[namespace] = self._bytes.get(namespace, 0) + len(body)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + WAIT_SECONDS)):
                return await waiting.answer
        except TimeoutError:
            return TOO_BUSY
        finally:
            if self._queue.discard(namespace, waiting):
                self._release(namespace, len(body))

    def _has_room(self, namespace: str, size: int) -> bool:
        total = sum(self._bytes.values()) + size
        return total <= MOST_BYTES_WAITING and self._bytes.get(namespace, 0) + size <= MOST_BYTES_WAITING_OF_ONE

    def _release(self, namespace: str, size: int) -> None:
        self._bytes[namespace] -= size
        if not self._bytes[namespace]:
            del self._bytes[namespace]

    async def _work(self) -> None:
        """Answer the waiting requests, each namespace in turn, until none waits."""
        while self._queue:
            namespace = next(iter(self._queue))
            waiting = self._queue.take(namespace)
            self._release(namespace, len(waiting.body))
            answer = await self._asked(waiting.body)
            if not waiting.answer.done():  # otherwise no request waits for it any more
                waiting.answer.set_result(answer)

    async def _asked(self, body: bytes) -> PreviewAnswer:
        try:
            code, answer = await self._worker.ask(body, RUN_SECONDS)
            if code == 200:
                return decode_preview(answer)
        except TimeoutError:
            return TOO_BUSY
        except (WorkerEndedError, WorkerStartError):
            return FAILED
        except Exception as error:  # noqa: BLE001 - the resource is admitted, and the next one is previewed
            self._report(error)
            return FAILED
        return TOO_LARGE if code == 413 else FAILED

    def _report(self, error: Exception) -> None:
        more = self._budget.fields("preview failed")
        if more is not None:
            self._log.write("error", "preview failed", **described(error), **more)
