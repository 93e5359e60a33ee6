"""A client that creates pods of the operator at a steady rate, from many connections, and judges every answer.

The pods belong to ReplicaSets of VMSingles in several namespaces, without security settings, so that vmguard has to
harden each. The answer to a create is the stored pod. A create that is refused is repeated, as a controller repeats it.
It deletes the pods as it goes.
"""

import asyncio
import copy
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import aiohttp

from tests.controlplane.plane import ADMIN, ControlPlane
from tests.controlplane.stand_in_operator import portable
from tests.support.admission_pods import VMSINGLE
from tests.support.patience import PATIENCE

CONNECTIONS = 60
_AT_A_TIME = 100
"""Creates without an answer. With so many the next one waits."""

_AGAIN, _TIMES = 1.0, 20
"""Seconds until a refused create is repeated, and how many times it is tried."""

_CLEAN_EVERY = 4.0
"""Seconds between two deletions of all pods."""


@dataclass(frozen=True)
class Rhythm:
    """In each period of `every` seconds, `at_once` creates at its start and `spread` creates evenly over it."""

    at_once: int = 25
    spread: int = 25
    every: float = 1.0

    def times(self) -> Iterator[float]:
        """When each create is due, in seconds from the start."""
        period = 0
        while True:
            start = period * self.every
            yield from (start for _ in range(self.at_once))
            yield from (start + (number + 0.5) * self.every / self.spread for number in range(self.spread))
            period += 1


@dataclass
class Outcome:
    """What became of the creates.

    `refused` are the answers of the API server that are no pod. `lost` are creates that were refused each time.
    `unanswered` were made while the API server was away, and are made again. `slowest` is the time of one answer, in
    seconds.
    """

    created: int = 0
    refused: list[str] = field(default_factory=list)
    lost: int = 0
    unhardened: list[str] = field(default_factory=list)
    unanswered: int = 0
    seconds: float = 0.0
    slowest: float = 0.0

    @property
    def creates(self) -> int:
        return self.created + self.lost


def owned_pods(plane: ControlPlane, namespaces: Sequence[str]) -> list[dict[str, Any]]:
    """In each namespace, a VMSingle with Deployment and ReplicaSet, and the pod that the ReplicaSet would make.

    No controller may run that acts on them.
    """
    recorded = json.loads(VMSINGLE.review)["request"]["object"]
    chain = [
        each
        for kind in (VMSINGLE.kind, "Deployment", "ReplicaSet")
        for each in VMSINGLE.objects
        if each["kind"] == kind
    ]
    pods = []
    for namespace in namespaces:
        uids: dict[str, str] = {}
        for each in chain:
            made = plane.api.create(portable(each, uids), namespace)
            uids[each["metadata"]["uid"]] = made["metadata"]["uid"]
        pod = portable(copy.deepcopy(recorded), uids)
        pod["metadata"] |= {"namespace": namespace, "generateName": "load-"}
        pod["metadata"].pop("name", None)
        pod["spec"].pop("serviceAccount", None)
        pod["spec"]["serviceAccountName"] = "default"
        pods.append(pod)
    return pods


def is_hardened(pod: dict[str, Any]) -> bool:
    """Whether a stored pod has the strict contexts."""
    spec = pod["spec"]
    containers = [each.get("securityContext") or {} for each in spec["containers"]]
    return spec["securityContext"].get("runAsNonRoot") is True and all(
        each.get("allowPrivilegeEscalation") is False and each.get("readOnlyRootFilesystem") is True
        for each in containers
    )


class PodLoad:
    """Creates pods from `start` on until `stop`; `outcome` is what became of them so far."""

    def __init__(self, plane: ControlPlane, pods: Sequence[dict[str, Any]], rhythm: Rhythm) -> None:
        self.outcome = Outcome()
        self._url = plane.url
        self._context = plane.identities.context(plane.identities.client(*ADMIN))
        self._pods = [(f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods", json.dumps(pod)) for pod in pods]
        self._rhythm = rhythm
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> Outcome:
        """End after the creates that are under way, and return what became of all."""
        self._over.set()
        self._thread.join()
        if self._failure:
            raise self._failure
        return self.outcome

    def check(self) -> None:
        """Raise what ended the load too early."""
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._load())
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._failure = error

    async def _load(self) -> None:
        limit = asyncio.Semaphore(_AT_A_TIME)
        connector = aiohttp.TCPConnector(ssl=self._context, limit=CONNECTIONS)
        async with (
            aiohttp.ClientSession(self._url, connector=connector) as session,
            asyncio.TaskGroup() as tasks,
        ):
            self._ready = asyncio.Event()
            self._ready.set()
            cleaning = tasks.create_task(self._clean(session))
            creating = set()
            begun = time.monotonic()
            for due, (path, body) in zip(self._rhythm.times(), cycle(self._pods), strict=False):
                await asyncio.sleep(max(0.0, begun + due - time.monotonic()))
                if self._over.is_set():
                    break
                await limit.acquire()
                task = tasks.create_task(self._create(session, path, body))
                creating.add(task)
                task.add_done_callback(lambda task: (creating.discard(task), limit.release()))
            if creating:
                await asyncio.wait(creating)
            self.outcome.seconds = time.monotonic() - begun
            cleaning.cancel()
            await self._delete(session)

    async def _create(self, session: aiohttp.ClientSession, path: str, body: str) -> None:
        for _ in range(_TIMES):
            status, text = await self._answer(session, path, body)
            if status == 201:
                self._judge(json.loads(text))
                return
            self.outcome.refused.append(f"{status}: {_message(text)}")
            await asyncio.sleep(_AGAIN)
        self.outcome.lost += 1

    def _judge(self, pod: dict[str, Any]) -> None:
        self.outcome.created += 1
        if not is_hardened(pod):
            self.outcome.unhardened.append(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}")

    async def _answer(self, session: aiohttp.ClientSession, path: str, body: str) -> tuple[int, str]:
        """The first answer of the API server to a create."""
        while True:
            await self._ready.wait()
            begun = time.monotonic()
            try:
                async with session.post(path, data=body, headers={"Content-Type": "application/json"}) as answer:
                    text = await answer.text()
                    self.outcome.slowest = max(self.outcome.slowest, time.monotonic() - begun)
                    return answer.status, text
            except (aiohttp.ClientError, OSError):
                self.outcome.unanswered += 1
                await self._until_ready(session)

    async def _until_ready(self, session: aiohttp.ClientSession) -> None:
        """Wait for the API server to be ready, as the load balancer in front of it does."""
        if not self._ready.is_set():
            await self._ready.wait()
            return
        self._ready.clear()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(aiohttp.ClientError, OSError):
                async with session.get("/readyz") as answer:
                    if answer.status == 200:
                        break
            await asyncio.sleep(0.1)
        else:
            raise TimeoutError("the API server did not become ready again")
        self._ready.set()

    async def _clean(self, session: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(_CLEAN_EVERY)
            await self._delete(session)

    async def _delete(self, session: aiohttp.ClientSession) -> None:
        for path, _ in self._pods:
            with suppress(aiohttp.ClientError, OSError):
                async with session.delete(path, params={"gracePeriodSeconds": "0"}) as answer:
                    await answer.read()


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError):
        return text
