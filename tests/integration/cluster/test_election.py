"""At most one elector leads on a real API server, and soon there is a leader again."""

import asyncio
import contextlib
import io
import itertools
import json
import random
import re
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tests.controlplane.api import wait_for
from tests.support.accounts import granted
from tests.support.kubeconfigs import kubeconfig_through
from tests.support.patience import PATIENCE
from tests.support.proxy import proxied
from tests.support.server import serving_cluster
from webhook.cluster.client import connected
from webhook.cluster.election import Elector, Timing, identity
from webhook.cluster.lease import ChangedError, Lease
from webhook.telemetry.log import Log

LEASE = ("coordination.k8s.io/v1", "Lease")
NAME = "vmguard"
SHORT = Timing(lease=6, renew=3, retry=0.2)
"""For tests that wait until a lease runs out."""

LONG = Timing(lease=600, renew=400, retry=0.2)
"""For tests that show that no lease ran out: it lasts longer than any test waits."""

RESTLESS = Timing(lease=3, renew=1.5, retry=0.2)
"""For a test whose lead changes hands often."""


class Candidate:
    """An elector with work that notes when it began and ended; `tail` is how long its end takes, in seconds."""

    def __init__(self, client, namespace, log=None, wall=lambda: datetime.now(UTC), tail=0.0, timing=SHORT):
        self.identity = identity()
        self.intervals: list[list[float]] = []
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self._tail = tail
        lease = Lease(client, namespace, NAME, self.identity, wall)
        self.elector = Elector(lease, {"work": self._work}, log or Log("error"), timing)
        self._task = asyncio.create_task(self.elector.run())

    async def _work(self):
        assert self.elector.leads
        self.intervals.append([time.monotonic(), float("inf")])
        self.ended.clear()
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self._tail)
            self.intervals[-1][1] = time.monotonic()
            self.began.clear()
            self.ended.set()

    async def until(self, event):
        """Wait for one of the two events."""
        async with asyncio.timeout(PATIENCE):
            await event.wait()

    async def end(self):
        self._task.cancel()
        await asyncio.wait([self._task])


@contextlib.asynccontextmanager
async def candidate(kubeconfig, namespace, **more):
    async with connected(str(kubeconfig)) as client:
        made = Candidate(client, namespace, **more)
        try:
            yield made
        finally:
            await made.end()


def overlap(*candidates):
    """Whether two of them ever worked at once."""
    every = sorted(interval for each in candidates for interval in each.intervals)
    return any(later[0] < earlier[1] for earlier, later in itertools.pairwise(every))


def spec(plane, namespace):
    return plane.api.get(*LEASE, NAME, namespace)["spec"]


async def eventually(probe):
    """The result of the probe once it is true; the probe runs in a thread, because its client blocks."""
    return await asyncio.to_thread(wait_for, probe, "what the test waits for")


def test_of_two_one_works_and_the_other_takes_over_at_once_when_it_ends(plane, namespace):
    async def play():
        async with candidate(plane.kubeconfig(), namespace, tail=1.2, timing=LONG) as first:
            await first.until(first.began)
            held = await asyncio.to_thread(spec, plane, namespace)
            assert (held["holderIdentity"], held["leaseDurationSeconds"]) == (first.identity, LONG.lease)
            async with candidate(plane.kubeconfig(), namespace, timing=LONG) as second:
                await eventually(lambda: second.elector.standing == f"{first.identity}, not this one")
                assert first.elector.leads
                assert not second.elector.leads
                await first.end()
                await second.until(second.began)  # long before the lease runs out
                assert not overlap(first, second)
        given_back = await asyncio.to_thread(spec, plane, namespace)
        assert (given_back.get("holderIdentity", ""), given_back["leaseDurationSeconds"]) == ("", 1)
        assert given_back["leaseTransitions"] == 2

    asyncio.run(play())


def test_a_leader_that_cannot_renew_has_ended_its_work_before_anybody_else_begins_and_comes_back(
    plane, namespace, tmp_path
):
    async def play():
        with proxied(plane.port) as proxy:
            async with candidate(
                kubeconfig_through(plane, proxy.port, tmp_path / "proxied"), namespace, tail=0.5
            ) as first:
                await first.until(first.began)
                async with candidate(plane.kubeconfig(), namespace) as second:
                    for _ in range(2):
                        proxy.refusing = True
                        proxy.cut()
                        await first.until(first.ended)
                        assert not first.elector.leads
                        assert not second.intervals or second.intervals[-1][1] < float("inf"), "the lease is still ours"
                        await second.until(second.began)
                        assert "cannot be reached" in first.elector.trouble
                        proxy.refusing = False
                        await eventually(lambda: first.elector.trouble == "")
                        await second_gives_way(second, first)
                    assert not overlap(first, second)
                    assert len(first.intervals) == 3, "it came back after each loss"

    async def second_gives_way(second, first):
        """A user writes the first one as holder into the Lease: the second ends its work then, and does not fight."""
        await second.end()
        await first.until(first.began)
        second._task = asyncio.create_task(second.elector.run())

    asyncio.run(play())


def test_an_api_server_that_hangs_is_no_better_than_none(plane, namespace, tmp_path):
    """Requests are taken and never answered: each has its time, and the renew deadline holds."""

    async def play():
        with proxied(plane.port) as proxy:
            async with candidate(
                kubeconfig_through(plane, proxy.port, tmp_path / "proxied"), namespace, tail=0.2
            ) as first:
                await first.until(first.began)
                async with candidate(plane.kubeconfig(), namespace) as second:
                    await eventually(lambda: second.elector.standing.startswith(first.identity))
                    proxy.delay = 60
                    await first.until(first.ended)
                    await second.until(second.began)
                    assert not overlap(first, second)
                    proxy.delay = 0
                    proxy.cut()

    asyncio.run(play())


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_wall_clock_that_is_wrong_by_hours_changes_nothing(plane, namespace, hours):
    def wrong():
        return datetime.now(UTC) + timedelta(hours=hours)

    async def play():
        async with (
            candidate(plane.kubeconfig(), namespace, wall=wrong) as first,
            candidate(plane.kubeconfig(), namespace) as second,
        ):
            done, _ = await asyncio.wait(
                [asyncio.create_task(each.began.wait()) for each in (first, second)],
                return_when=asyncio.FIRST_COMPLETED,
                timeout=PATIENCE,
            )
            assert done
            leader, other = (first, second) if first.intervals else (second, first)
            before = await asyncio.to_thread(spec, plane, namespace)
            renewed = before["renewTime"]
            for _ in range(8):  # more than the lease's time
                renewed = await eventually(lambda last=renewed: _newer(plane, namespace, last))
                await asyncio.sleep(SHORT.lease / 7)
            assert leader.elector.leads
            assert not other.intervals, "a lease that is renewed does not run out, whatever its times say"
            leader._task.cancel()
            await other.until(other.began)
            assert not overlap(first, second)

    asyncio.run(play())


def _newer(plane, namespace, last):
    time_now = spec(plane, namespace)["renewTime"]
    return time_now if time_now != last else None


def test_a_lease_that_is_deleted_is_made_again_by_its_leader_while_the_others_wait(plane, namespace):
    async def play():
        async with candidate(plane.kubeconfig(), namespace, timing=LONG) as first:
            await first.until(first.began)
            async with candidate(plane.kubeconfig(), namespace, timing=LONG) as second:
                for _ in range(3):
                    await eventually(lambda: second.elector.standing.startswith(first.identity))
                    await asyncio.to_thread(plane.api.delete, *LEASE, NAME, namespace)
                    made = await eventually(lambda: plane.api.find(*LEASE, NAME, namespace))
                    assert made["spec"]["holderIdentity"] == first.identity
                assert not second.intervals
                assert len(first.intervals) == 1, "it went on all the while"

    asyncio.run(play())


def test_a_lease_of_a_stranger_that_is_deleted_is_made_anew_at_the_next_attempt(plane, namespace):
    """Another client wrote a holder that never renews, for many years: an administrator deletes the Lease."""
    held = {"holderIdentity": "stranger", "leaseDurationSeconds": 2147483647}
    plane.api.create({"apiVersion": LEASE[0], "kind": LEASE[1], "metadata": {"name": NAME}, "spec": held}, namespace)

    async def play():
        async with candidate(plane.kubeconfig(), namespace) as first:
            await eventually(lambda: first.elector.standing == "stranger, not this one")
            await asyncio.sleep(SHORT.lease)
            assert not first.intervals
            await asyncio.to_thread(plane.api.delete, *LEASE, NAME, namespace)
            await first.until(first.began)
            made = await asyncio.to_thread(spec, plane, namespace)
            assert (made["holderIdentity"], made["leaseDurationSeconds"]) == (first.identity, SHORT.lease)

    asyncio.run(play())


def test_a_leader_that_reads_of_another_ends_its_work_and_waits_like_anybody(plane, namespace):
    """A user writes another holder into the Lease: the candidate accepts that, and leads after that holder's time."""

    async def play():
        async with candidate(plane.kubeconfig(), namespace) as first:
            await first.until(first.began)
            told = {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 2}}
            await asyncio.to_thread(plane.api.patch, *LEASE, NAME, told, namespace)
            changed = time.monotonic()
            await first.until(first.ended)
            await first.until(first.began)
            assert first.intervals[1][0] - changed >= 2

    asyncio.run(play())


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"holderIdentity": "gone"},
        {"holderIdentity": "gone", "leaseDurationSeconds": 1, "renewTime": None, "acquireTime": None},
        {
            "holderIdentity": "",
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "acquireTime": "2026-01-01T00:00:00.000000Z",
        },
        {"leaseDurationSeconds": 2147483647, "leaseTransitions": 7},
    ],
    ids=str,
)
def test_a_lease_with_odd_fields_is_taken_when_its_time_is_over(plane, namespace, odd):
    plane.api.create({"apiVersion": LEASE[0], "kind": LEASE[1], "metadata": {"name": NAME}, "spec": odd}, namespace)

    async def play():
        async with candidate(plane.kubeconfig(), namespace) as first:
            await first.until(first.began)

    asyncio.run(play())


def test_every_write_is_on_top_of_what_was_read(plane, namespace):
    """A write whose state is no longer the newest changes nothing, whether it holds, gives back or makes the Lease."""

    async def play():
        async with connected(str(plane.kubeconfig())) as client:
            one, other, third = (Lease(client, namespace, NAME, name) for name in ("one", "other", "third"))
            assert await third.read(PATIENCE) is None
            await one.hold(5, PATIENCE)
            with pytest.raises(ChangedError, match="already exists"):
                await third.hold(5, PATIENCE)
            await other.read(PATIENCE)
            renewed = await one.hold(5, PATIENCE)
            with pytest.raises(ChangedError, match="modified"):
                await other.hold(5, PATIENCE)
            with pytest.raises(ChangedError, match="modified"):
                await other.give_back(PATIENCE)
            assert await other.read(PATIENCE) == renewed
            await asyncio.to_thread(plane.api.delete, *LEASE, NAME, namespace)
            with pytest.raises(ChangedError):
                await one.hold(5, PATIENCE)
            return renewed.holder

    assert asyncio.run(play()) == "one"


@pytest.mark.parametrize("verb", ["get", "create", "update"])
def test_a_missing_permission_is_named_by_verb_resource_and_namespace(plane, namespace, verb):
    rules = {"get": [], "create": ["get"], "update": ["get", "create"]}[verb]
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": rules}
    kubeconfig = granted(plane, f"candidate-{verb}", [leases] if rules else [], namespace)
    told = io.BytesIO()

    async def play():
        async with candidate(kubeconfig, namespace, log=Log("warning", told)) as one:
            wanted = f"may not {verb} leases.coordination.k8s.io in namespace {namespace}: HTTP 403"
            await eventually(lambda: one.elector.trouble.startswith(wanted))
            tried = []
            attempt = one.elector._lease.read

            async def counted(seconds):
                tried.append(1)
                return await attempt(seconds)

            one.elector._lease.read = counted
            await eventually(lambda: len(tried) > 4)

    asyncio.run(play())
    assert told.getvalue().count(b"election failed") == 1, "told once, not at each attempt"


def test_work_that_fails_is_done_again_and_does_not_end_the_lead(plane, namespace, monkeypatch):
    monkeypatch.setattr("webhook.cluster.election._REST", 0.1)
    tried = []

    async def failing():
        tried.append(1)
        raise RuntimeError("no")

    async def play():
        async with connected(str(plane.kubeconfig())) as client:
            lease = Lease(client, namespace, NAME, identity())
            elector = Elector(lease, {"failing": failing}, Log("error"), SHORT)
            task = asyncio.create_task(elector.run())
            await eventually(lambda: len(tried) > 2)
            assert elector.leads
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(play())


def test_whatever_befalls_the_connections_no_two_work_at_once_and_somebody_does_again(plane, namespace, tmp_path):
    """Three candidates behind proxies that cut, hold up and refuse at random, for some terms of office."""
    chance = random.Random(0)  # noqa: S311 - dice

    async def play():
        async with contextlib.AsyncExitStack() as stack:
            proxies, candidates = [], []
            for number in range(3):
                proxies.append(stack.enter_context(proxied(plane.port)))
                config = kubeconfig_through(plane, proxies[-1].port, tmp_path / f"proxied-{number}")
                tail = chance.uniform(0, RESTLESS.lease - RESTLESS.renew - 1)
                one = candidate(config, namespace, tail=tail, timing=RESTLESS)
                candidates.append(await stack.enter_async_context(one))
            end = time.monotonic() + 30
            while time.monotonic() < end:
                proxy = chance.choice(proxies)
                proxy.refusing = chance.random() < 0.4
                proxy.delay = chance.choice([0, 0, 0.3, 2.0])
                if chance.random() < 0.5:
                    proxy.cut()
                await asyncio.sleep(chance.uniform(0, 0.8))
            for proxy in proxies:
                proxy.refusing, proxy.delay = False, 0
                proxy.cut()
            await eventually(lambda: sum(each.elector.leads for each in candidates) == 1)
            terms = sum(len(each.intervals) for each in candidates)
        assert not overlap(*candidates)
        assert terms > 2, "the lead changed hands"

    asyncio.run(play())


@pytest.mark.parametrize(("said", "ours"), [(None, "default"), ("mine", "mine")])
def test_our_namespace_is_that_of_the_kubeconfigs_context(plane, tmp_path, said, ours):
    config = yaml.safe_load(plane.kubeconfig().read_text())
    if said:
        config["contexts"][0]["context"]["namespace"] = said
    (tmp_path / "config").write_text(json.dumps(config))

    async def ask():
        async with connected(str(tmp_path / "config")) as client:
            return client.namespace

    assert asyncio.run(ask()) == ours


def leading(server):
    """Whether a vmguard says of itself that it leads."""
    text = server.operation("/metrics")[1]
    value = re.search(r'^leader_election_master_status\{name="vmguard"\} (\S+)$', text, re.MULTILINE)
    said = server.operation("/readyz?verbose")[1]
    assert value
    return value[1] == "1.0" and re.search(r"^\[i\]leader this one, ", said, re.MULTILINE) is not None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP])
def test_of_two_servers_one_leads_and_the_other_takes_over(plane, namespace, tmp_path, number):
    """With SIGTERM as soon as the other looks, though this one serves on; else when the lease has run out."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    serving_on = {"VMGUARD_SHUTDOWN_DELAY": "600" if number == signal.SIGTERM else "0"}  # more than the test waits
    settings = {"POD_NAMESPACE": namespace}
    with serving_cluster(tmp_path / "one", plane.kubeconfig(), **settings, **serving_on) as one:
        wait_for(lambda: leading(one), "the first to lead")
        with serving_cluster(tmp_path / "other", plane.kubeconfig(), **settings) as other:
            wait_for(lambda: "[i]leader " in other.operation("/readyz?verbose")[1], "the other to stand")
            assert not leading(other)
            one.process.send_signal(number)
            wait_for(lambda: leading(other), "the other to lead")
            if number == signal.SIGTERM:
                assert one.process.poll() is None, "it still serves"
                assert one.operation("/readyz")[0] == 503
                given = wait_for(lambda: [n for n in one.lines() if n["message"] == "lease given back"], "its word")
                assert given
                assert one.ask("GET", "/healthz")[0] == 200
                one.process.kill()
            elif number == signal.SIGKILL:
                one.process.wait()
            else:
                one.process.send_signal(signal.SIGCONT)
                assert not leading(one), "it knows by its own clock, before it has heard of the other"
                wait_for(lambda: "[i]leader this one" not in one.operation("/readyz?verbose")[1], "it to follow")
                assert leading(other)


def test_a_server_without_permission_for_leases_serves_and_reports_it(plane, namespace, tmp_path):
    rules = [
        {"apiGroups": ["apps", "operator.victoriametrics.com"], "resources": ["*"], "verbs": ["list", "watch", "get"]}
    ]
    settings = {"WATCH_NAMESPACE": namespace, "POD_NAMESPACE": namespace}
    with serving_cluster(tmp_path, granted(plane, "no-leases", rules, namespace), **settings) as server:
        told = f"[!]leader-election may not get leases.coordination.k8s.io in namespace {namespace}: HTTP 403"
        wait_for(lambda: told in server.operation("/readyz?verbose")[1], "the missing permission to be named")
        assert server.operation("/readyz") == (200, "ok")
        assert any(line["message"] == "election failed" and "leases" in line["reason"] for line in server.lines())
