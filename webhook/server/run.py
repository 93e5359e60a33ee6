"""The server's life: sockets, TLS, two listeners in one event loop, and an orderly end.

After SIGTERM or SIGINT it is not ready at once. It serves on with `Connection: close` while endpoints learn of the end.
Then it drains and ends.
"""

import asyncio
import gc
import logging
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import uvicorn

from webhook.facts import FactSource
from webhook.policy.resource_events import ResourceEvent
from webhook.server.admission_handler import WEBHOOKS, AdmissionHandler
from webhook.server.application import application
from webhook.server.body_budget import BodyBudget
from webhook.server.complaints import Complaints
from webhook.server.connection import Connection, ListenerState
from webhook.server.dry_run import DryRun
from webhook.server.lifecycle import ReadinessCheck, State
from webhook.server.listener import Listener
from webhook.server.malloc_trim import trim
from webhook.server.open_connections import MOST, OpenConnections
from webhook.server.operations import Operations
from webhook.server.previews import Previews
from webhook.server.serving_certificate import ServingCertificate
from webhook.server.worker_process import WorkerProcess
from webhook.settings import Settings, parse_address
from webhook.telemetry.log import Handler, Log
from webhook.telemetry.metrics import Metrics

KEEP_ALIVE = 120
"""Seconds; longer than the API server keeps idle connections (90 s): otherwise it would use a closed one and fail."""

DRAIN = 10
"""Most seconds for the current requests at the end."""

_TRIM_EVERY = 10
"""Seconds."""

_TICKS_A_SECOND = 10
"""The unit of uvicorn's time."""

_MOST_OPERATIONS = 100
"""Connections of the operations listener; kubelet and Prometheus have a few."""

_CROWDED = 0.9
"""The part of the allowed connections from which readiness has a note."""

_OTHER_FILES = 200
"""Open files without the connections of the webhook listener: the other listener, watches, lookups, pipes."""


async def _nothing() -> None:
    """Nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve.

    `known` are the objects that dry-run knows, a JSON array. The server waits for `prepare` before it is ready.
    `checks` are further conditions of readiness, `notes` other problems, and `tells` information. `leave` starts at the
    signal to end, while the server still serves, and the server waits for it at the end. `offer` takes events on
    resources.
    """

    settings: Settings
    source: FactSource
    certificate: ServingCertificate
    known: bytes = b"[]"
    prepare: Callable[[], Awaitable[None]] = _nothing
    checks: Mapping[str, ReadinessCheck] = field(default_factory=dict)
    notes: Callable[[], Mapping[str, str]] = dict
    tells: Callable[[], Mapping[str, str]] = dict
    metrics: Metrics = field(default_factory=Metrics)
    leave: Callable[[], Awaitable[None]] = _nothing
    offer: Callable[[ResourceEvent], None] | None = None


class _Server(uvicorn.Server):
    """A uvicorn server with limits on connections. It handles no signals, and returns free memory.

    It wakes once a second instead of ten times, because its `Date` header changes once a second. Two idle servers that
    wake ten times each cost more than one pod a second.
    """

    def __init__(
        self, app: AdmissionHandler | Operations, state: ListenerState, certificate: ServingCertificate | None
    ) -> None:
        super().__init__(_config(app))
        self.server_state = state
        self._listener_state = state
        self._certificate = certificate
        self._ended = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """The same as uvicorn's, with vmguard's listeners."""

        def make() -> Connection:
            return Connection(self.config, self._listener_state, {})

        self.servers = [
            cast("asyncio.Server", Listener(each, make, self._listener_state, self._certificate))
            for each in sockets or ()
        ]
        self.started = True

    def end(self) -> None:
        """Accept no new connections, and end when the current requests have their answers."""
        self.should_exit = True
        self._ended.set()

    async def main_loop(self) -> None:
        second = 0
        while not await self.on_tick(second * _TICKS_A_SECOND):
            if second % _TRIM_EVERY == 0:
                trim()
            second += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ended.wait()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def bind(address: str) -> socket.socket:
    """A listening socket; `:PORT` means every address of both families if the machine has both.

    Raises:
        OSError: the address is in use, or belongs to another machine.

    """
    host, port = parse_address(address)
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return _listening(family, host, port)
    if socket.has_dualstack_ipv6():
        try:
            return _listening(socket.AF_INET6, "::", port)
        except OSError as error:
            if error.errno not in {97, 99}:  # EAFNOSUPPORT, EADDRNOTAVAIL: IPv6 is compiled in but not switched on
                raise
    return _listening(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - the setting means every address


def _listening(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def url(scheme: str, listener: socket.socket) -> str:
    """The URL of a listener for this machine."""
    host, port = listener.getsockname()[:2]
    shown = "localhost" if host in {"::", "0.0.0.0", "127.0.0.1"} else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"{scheme}://{shown}:{port}"


async def serve(
    plan: Plan, webhook: socket.socket, operations: socket.socket, log: Log, ready: Callable[[], None]
) -> None:
    """Serve on both sockets until a signal; it calls `ready` once, when both serve."""
    metrics, bodies = plan.metrics, BodyBudget()
    files = _allow_files()
    listeners = {
        "webhook": _listener_state("webhook", min(MOST, files - _OTHER_FILES), bodies, log, metrics),
        "operations": _listener_state("operations", _MOST_OPERATIONS, bodies, log, metrics),
    }
    if plan.certificate.clients:
        listeners["webhook"].refusal = plan.certificate.clients.refusal
        listeners["webhook"].guarded = WEBHOOKS
    metrics.show_settings(plan.settings)
    metrics.body_bytes.set_function(lambda: bodies.held)
    worker = WorkerProcess("dry-run", lambda: (str(plan.source.minor),), plan.known, log)
    previews = Previews(WorkerProcess("preview", tuple, b"", log), metrics.count_preview, log)

    def notes() -> dict[str, str]:
        troubles = {"certificate": plan.certificate.note, "previews": previews.trouble}
        return {**plan.notes(), **troubles, **_full(listeners)}

    state = State(checks=plan.checks, notes=notes, tells=plan.tells)
    rest = application(DryRun(worker), metrics, dry_run=plan.settings.dry_run)
    front = AdmissionHandler(rest, plan.source, plan.settings, metrics, log, state, previews, offer=plan.offer)
    servers = [
        _Server(front, listeners["webhook"], plan.certificate),
        _Server(Operations(metrics, state), listeners["operations"], None),
    ]
    _take_logging(log)
    asked_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    tasks = [
        asyncio.create_task(server.serve([listener]))
        for server, listener in zip(servers, (webhook, operations), strict=True)
    ]
    ending = asyncio.create_task(asked_to_end.wait())
    started = asyncio.create_task(_started(plan, servers, worker))
    renewing = asyncio.create_task(plan.certificate.run())
    await asyncio.wait([ending, started, *tasks], return_when=asyncio.FIRST_COMPLETED)
    if started.done():
        started.result()
        _settle_memory()
        state.ready = True
        log.write("info", "serving", webhook=url("https", webhook), operations=url("http", operations))
        log.flush()  # a reader of "ready" may then read the address
        ready()
        await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
    state.draining = True
    # the API server sends nothing to a replica that never was ready
    delay = plan.settings.shutdown_delay if state.ready else 0.0
    log.write("info", "ending", seconds=delay)
    leaving = asyncio.ensure_future(plan.leave())
    await asyncio.sleep(delay)
    for server in servers:
        server.end()
    await asyncio.gather(*tasks)
    for task in (ending, started, renewing):
        task.cancel()
    await asyncio.gather(ending, started, renewing, return_exceptions=True)
    await previews.stop()
    await worker.stop()
    await leaving
    log.write("info", "ended")
    log.flush()


async def _started(plan: Plan, servers: list[_Server], worker: WorkerProcess) -> None:
    """Return when both listeners serve, their conditions are met, and the dry-run worker runs."""
    while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn only sets an attribute
        await asyncio.sleep(0.005)
    await plan.prepare()
    await plan.certificate.there()
    if plan.settings.dry_run:
        await worker.start()


def _settle_memory() -> None:
    """Exclude the objects of the start from garbage collection: a review leaves almost no reference cycle."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _listener_state(name: str, most: int, bodies: BodyBudget, log: Log, metrics: Metrics) -> ListenerState:
    """The shared state of one listener's connections; its metrics have the listener's name."""
    complaints = Complaints(log, metrics, name, asyncio.get_running_loop().time)
    state = ListenerState(OpenConnections(most), bodies, complaints.note)
    metrics.connections.labels(name).set_function(lambda: len(state.open))
    metrics.most_connections.labels(name).set(most)
    return state


def _full(listeners: Mapping[str, ListenerState]) -> dict[str, str]:
    """The listeners that are almost full, for a note of readiness; they serve on, so the replica stays ready."""
    return {
        f"{name}-connections": f"{len(each.open)} of {each.open.most} are open; so far {each.open.closed} were closed "
        f"to make room for new ones, and {each.open.refused} were refused"
        for name, each in listeners.items()
        if len(each.open) >= _CROWDED * each.open.most
    }


def _allow_files() -> int:
    """Raise the soft limit of open files as far as allowed and useful; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + _MOST_OPERATIONS + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(wanted if soft == resource.RLIM_INFINITY else soft, 2 * _OTHER_FILES)


def _config(app: AdmissionHandler | Operations) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN,
    )


def _take_logging(log: Log) -> None:
    root = logging.getLogger()
    root.handlers[:] = [Handler(log)]
    root.setLevel(logging.WARNING)
