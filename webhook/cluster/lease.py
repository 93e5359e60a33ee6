"""The Lease of the leader, read and written through the client library's lock object.

This module adds what that lock (`kubernetes` 37) lacks. It adds a time limit for every call, the reason of a failed
write, and the state after a write. It also handles a Lease with missing times, and the release. Every write to an
existing Lease carries the resourceVersion that was read. The module does not decide who may write when: `election`
does.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from kubernetes.aio.client import ApiClient, ApiException, CoordinationV1Api, V1Lease, V1LeaseSpec, V1ObjectMeta
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import LEASES
from webhook.cluster.permission import answered

T = TypeVar("T")


class ChangedError(Exception):
    """The Lease has changed since the read: another process wrote, made or deleted it. Read it again."""


class LeaseState(msgspec.Struct, frozen=True, gc=False):
    """A Lease at the time of a read: its holder ("" for none), and the seconds that it is valid (0 if it has none).

    `version` changes with every write.
    """

    holder: str
    seconds: int
    version: tuple[str, str]


class Lease:
    """One Lease for the candidate `identity`. `wall` gives the times for people."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self.namespace = namespace
        self.name = name
        self.identity = identity
        self._lock = _Lock(name, namespace, identity, wall)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    async def read(self, seconds: float) -> LeaseState | None:
        """The Lease, None if there is none; the next write carries this version.

        Raises:
            UnreachableError: it could not be read, or not within so many seconds; the text says why.

        """

        async def ask() -> LeaseState | None:
            there, said = await self._lock.get(self.name, self.namespace)
            if not there:
                self._lock.lease_reference = None
            if isinstance(said, ApiException) and said.status != 404:
                raise said
            return self._lock.state

        return await self._call("get", ask, seconds)

    async def hold(self, duration: int, seconds: float) -> LeaseState:
        """Take or renew the Lease for `duration` seconds, and create it if needed; return the new state.

        Raises:
            ChangedError: it has changed since the read.
            UnreachableError: there was no success within so many seconds; the write may still have happened.

        """
        return await self._write(LeaderElectionRecord(self.identity, str(duration), None, None), seconds)

    async def give_back(self, seconds: float) -> None:
        """Release the Lease.

        Raises:
            ChangedError: it has changed since the read.
            UnreachableError: there was no success within so many seconds.

        """
        await self._write(LeaderElectionRecord("", "1", None, None), seconds)

    async def _write(self, record: LeaderElectionRecord, seconds: float) -> LeaseState:
        is_there = self._lock.lease_reference is not None
        write = self._lock.update if is_there else self._lock.create

        async def ask() -> LeaseState:
            await write(self.name, self.namespace, record)
            assert self._lock.state is not None  # noqa: S101 - for mypy: it was just written
            return self._lock.state

        return await self._call("update" if is_there else "create", ask, seconds)

    async def _call(self, verb: str, ask: Callable[[], Awaitable[T]], seconds: float) -> T:
        def through(api: ApiClient) -> Awaitable[T]:
            self._lock.api_instance = CoordinationV1Api(api)
            return ask()

        try:
            return await self._client.call(verb, LEASES.plural, through, seconds)
        except ApiException as error:
            code = error.status or 0
            body = str(error.body or "").encode()
            why = answered(verb, LEASES, self.namespace, code, body, self._client.advise)
            if code == 409 or (code == 404 and verb == "update"):
                raise ChangedError(why) from None
            raise UnreachableError(why) from None
        except ValueError as error:  # the library's models are stricter than the API server
            raise UnreachableError(f"the Lease {self} cannot be read: {error}") from None


class _Lock(LeaseLock):
    """The library's lock with writes that raise the error and store the new state."""

    def __init__(self, name: str, namespace: str, identity: str, wall: Callable[[], datetime]) -> None:
        BaseLock.__init__(self, name, namespace, identity)  # LeaseLock's own would make a client that nobody closes
        self.lease_reference: V1Lease | None = None
        self._wall = wall

    @property
    def state(self) -> LeaseState | None:
        lease = self.lease_reference
        if lease is None:
            return None
        spec, meta = lease.spec or V1LeaseSpec(), lease.metadata or V1ObjectMeta()
        version = (meta.uid or "", meta.resource_version or "")
        return LeaseState(spec.holder_identity or "", spec.lease_duration_seconds or 0, version)

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        body = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        self.lease_reference = await self.api_instance.create_namespaced_lease(namespace, body)
        return True

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        assert self.lease_reference is not None  # noqa: S101 - as the library's
        body = V1Lease(
            metadata=self.lease_reference.metadata,
            spec=self.update_lease(updated_record, self.lease_reference.spec),
        )
        self.lease_reference = await self.api_instance.replace_namespaced_lease(name, namespace, body)
        return True

    def update_lease(
        self, leader_election_record: LeaderElectionRecord, current_spec: V1LeaseSpec | None = None
    ) -> V1LeaseSpec:
        """A new spec with the record's holder and duration, and the times of now."""
        before = current_spec or V1LeaseSpec()
        now = _with_fraction(self._wall())
        holder = leader_election_record.holder_identity or ""
        passes = holder != (before.holder_identity or "")
        acquired = None if passes else before.acquire_time
        return before.model_copy(
            update={
                "holder_identity": holder,
                "lease_duration_seconds": int(leader_election_record.lease_duration or 0),
                "acquire_time": _with_fraction(acquired) if acquired else now,
                "renew_time": now,
                "lease_transitions": (before.lease_transitions or 0) + (passes and holder != ""),
            }
        )


def _with_fraction(time: datetime) -> datetime:
    """The time, a microsecond later on a whole second: the library omits the fraction, and the API server needs one."""
    return time if time.microsecond else time.replace(microsecond=1)
