"""Leader election on a Lease: one replica does the work that must happen only once.

The rules are those of client-go's leaderelection. The leader renews its Lease in time or ends its work. Its work ends
before another replica may take the Lease: the leader counts its time from before it sends a write, and the others count
from after they see it. Only this machine's monotonic clock counts; the times in a Lease are for people. Each write
carries the version that was read, so a late write changes nothing. A replica that ends first ends its work and then
releases the Lease. This module does not contain the work, and does not decide about readiness. Admission does not
depend on it.
"""

import asyncio
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from webhook.cluster.client import UnreachableError
from webhook.cluster.lease import ChangedError, Lease, LeaseState
from webhook.telemetry.log import Log, described
from webhook.text import one_line

_JITTER = 1.2
"""How much longer than the retry period a candidate may wait, as a part of it; the same as in client-go."""

_REST = 5.0
"""Seconds after which failed work starts again."""

_TELL_AGAIN = 60.0
"""Seconds until a lasting trouble is logged again, if it has changed by then."""

Work = Callable[[], Awaitable[None]]


class Timing(msgspec.Struct, frozen=True):
    """Seconds that a Lease is valid without renewal, that the leader tries to renew, and between two attempts.

    The work must end in the time between the first two.
    """

    lease: int = 15
    renew: float = 10.0
    retry: float = 2.0


USUAL = Timing()


class Elector:
    """One candidate. It runs `works`, by name, while it leads, and cancels them when it no longer leads.

    `trouble` is why it can neither lead nor know the leader, "" for no trouble.
    """

    def __init__(
        self,
        lease: Lease,
        works: Mapping[str, Work],
        log: Log,
        timing: Timing = USUAL,
    ) -> None:
        self._lease = lease
        self._works = works
        self._log = log
        self._timing = timing
        self._clock = time.monotonic
        self._state: LeaseState | None = None
        self._seen = 0.0
        self._deleted = False
        self._renewed = 0.0
        self._may_hold = False
        self._current = False
        self._working: asyncio.Task[None] | None = None
        self._told = 0.0
        self.trouble = ""

    @property
    def leads(self) -> bool:
        """Whether it leads, by the clock: not after its time to renew, even before the task has noticed."""
        return self._working is not None and not self._working.cancelling() and self._left > 0

    @property
    def standing(self) -> str:
        """Who leads, for a person."""
        if self.leads:
            return f"this one, {self._lease.identity}"
        holder = self._state.holder if self._state else ""
        return f"{holder}, not this one" if holder not in {"", self._lease.identity} else "nobody that is known"

    async def run(self) -> None:
        """Take part in the election until this is cancelled; then end the work and release the Lease."""
        try:
            while True:
                await self._until_held()
                self._log.write("info", "leading", lease=str(self._lease), identity=self._lease.identity)
                self._working = asyncio.create_task(self._work())
                why = await self._until_lost()
                self._log.write("warning", "not leading any more", lease=str(self._lease), reason=why)
                while not await self._end_work():
                    await asyncio.wait([self._working])
        finally:
            if await self._end_work():  # otherwise the Lease expires by itself
                await self._give_back()

    async def _until_held(self) -> None:
        while not await self._attempt():
            longer = random.random() * _JITTER  # noqa: S311 - spreads replicas, guards nothing
            await asyncio.sleep(self._timing.retry * (1 + longer))

    async def _until_lost(self) -> str:
        """Renew until that is no longer possible; return the reason."""
        while True:
            await asyncio.sleep(max(0.0, min(self._timing.retry, self._left)))
            if self._left <= 0:
                return f"not renewed within {self._timing.renew:g} s{f': {self.trouble}' if self.trouble else ''}"
            if not await self._attempt() and self._state and self._state.holder != self._lease.identity:
                return f"{self._state.holder or 'nobody'} holds it"

    @property
    def _left(self) -> float:
        """Seconds that are left to renew."""
        return self._renewed + self._timing.renew - self._clock()

    async def _attempt(self) -> bool:
        """Take or renew the Lease if allowed; whether that worked. It reads first, unless it has just written."""
        until = self._clock() + self._timing.renew / 2
        if self._working:
            until = min(until, self._renewed + self._timing.renew)
        try:
            if not self._current:
                self._observe(await self._lease.read(until - self._clock()))
            if not self._may_take:
                self._troubled(self._stranger)
                return False
            began = self._clock()
            self._may_hold, self._current = True, False
            self._state = await self._lease.hold(self._timing.lease, until - began)
            self._current = True
            self._troubled("")
        except ChangedError as error:
            self._log.write("debug", "the Lease was changed meanwhile", lease=str(self._lease), reason=str(error))
            return False
        except UnreachableError as error:
            self._troubled(str(error))
            return False
        except Exception as error:  # noqa: BLE001 - nothing that the library raises may cost the server its life
            self._log.write("error", "election failed", lease=str(self._lease), **described(error))
            self._troubled(one_line(repr(error), 500))
            return False
        self._renewed = began
        return True

    def _observe(self, state: LeaseState | None) -> None:
        """Record what was read. A deleted Lease does not show whether its holder still works."""
        self._deleted = state is None
        if state is None or state == self._state:
            return
        if state.holder not in {"", self._lease.identity} and (not self._state or state.holder != self._state.holder):
            self._log.write("info", "following", lease=str(self._lease), leader=state.holder)
        self._state, self._seen = state, self._clock()

    @property
    def _stranger(self) -> str:
        """Why the holder is no replica of vmguard, "" if it may be one."""
        if self._state is None or self._state.seconds <= self._timing.lease:
            return ""
        return (
            f"{self._state.holder} holds the Lease for {self._state.seconds} s, and a replica of vmguard for at most "
            f"{self._timing.lease} s: another client wrote it. Until it ends, no replica renews the CA or surveys the "
            "running pods. Stop that client, then delete the Lease."
        )

    @property
    def _may_take(self) -> bool:
        if self._state is None or self._state.holder == self._lease.identity:
            return True
        if self._working:  # another replica has led meanwhile
            return False
        return not self._state.holder or self._clock() >= self._seen + self._valid_for(self._state)

    def _valid_for(self, state: LeaseState) -> float:
        """Seconds for which the holder of a Lease may still work after the last change that was seen.

        A replica that leads makes a deleted Lease again at its next attempt, or ends its work within its own time. So
        the time of another client, which may be years, ends with the Lease that has it.
        """
        usual = self._timing.lease
        return min(state.seconds or usual, usual) if self._deleted else state.seconds or usual

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, work in self._works.items():
                tasks.create_task(self._do(name, work))

    async def _do(self, name: str, work: Work) -> None:
        while True:
            try:
                return await work()
            except Exception as error:  # noqa: BLE001 - one work that fails must not end the others, or the lead
                self._log.write("error", "leader's work failed", work=name, **described(error))
            await asyncio.sleep(_REST)

    async def _end_work(self) -> bool:
        """Cancel the work and wait for its end, while no other replica can have the Lease; whether it has ended."""
        if self._working is None:
            return True
        self._working.cancel()
        left = self._renewed + self._timing.lease - self._clock()
        await asyncio.wait([self._working], timeout=max(0.0, left))
        if not self._working.done():
            self._log.write("error", "the leader's work does not end", lease=str(self._lease))
            return False
        self._working = None
        return True

    async def _give_back(self) -> None:
        if not self._may_hold:
            return
        until = self._clock() + self._timing.renew / 2
        try:
            state = await self._lease.read(until - self._clock())
            if state and state.holder == self._lease.identity:
                await self._lease.give_back(until - self._clock())
                self._log.write("info", "lease given back", lease=str(self._lease))
        except (ChangedError, UnreachableError) as error:
            self._log.write("warning", "lease not given back", lease=str(self._lease), reason=str(error))
        except Exception as error:  # noqa: BLE001 - as in an attempt: it must not end what is still served
            self._log.write("error", "lease not given back", lease=str(self._lease), **described(error))

    def _troubled(self, why: str) -> None:
        now = self._clock()
        if why and (not self.trouble or (why != self.trouble and now >= self._told + _TELL_AGAIN)):
            self._told = now
            self._log.write("warning", "election failed", lease=str(self._lease), reason=why)
        self.trouble = why


def identity() -> str:
    """A unique name for this process: the host's name and a random part."""
    return f"{socket.gethostname()}_{secrets.token_hex(8)}"
