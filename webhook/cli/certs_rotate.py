"""`vmguard certs rotate`: begin the rotation of the CA now. The leader goes on with it; this command only waits.

It stores the next CA in the Secret, on top of what it read. With `--forget-old` it also removes the old CA from the
Secret once each replica has a certificate of the new one; then the leader removes it from the configurations.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography import x509

from certs import AUTHORITY_LIFETIME, AUTHORITY_NAME, MOST_OLD, OVERLAP, SETTLED, Authority, Rotation, to_data
from webhook.cli.certificate_reading import (
    NamedInstallation,
    SecretState,
    read_configurations,
    read_state,
    settings,
    target_of,
)
from webhook.cli.certificate_report import in_bundle, key_id
from webhook.cli.certs import failed
from webhook.cluster.client import Client, NoClusterError, UnreachableError, connected
from webhook.cluster.permission import without_advice
from webhook.cluster.secret_data import SecretChangedError, write_secret
from webhook.server.own_certificate import MANAGED_BY, is_of_administrator

_EVERY = 1.0
"""Seconds between two readings while waiting."""

_STEPS = "docs/certificates.md has the steps by hand."


class _RefusedError(Exception):
    """The rotation does not begin, or does not end in time; the text says why. Exit status 1."""


def run(options: argparse.Namespace) -> int:
    """Begin a rotation; 1 where it cannot begin or does not end in time."""
    try:
        asyncio.run(_rotate(options))
    except NoClusterError as error:
        raise failed("rotate", f"{error.reason}: no cluster; see --kubeconfig") from None
    except UnreachableError as error:
        raise failed("rotate", without_advice(str(error))) from None
    except _RefusedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _rotate(options: argparse.Namespace) -> None:
    environment = settings("vmguard certs rotate")
    async with connected(options.kubeconfig, context=options.context) as client:
        name = options.webhook_configuration or environment.webhook_configuration
        found = await read_configurations(client, name)
        unreadable = next((each.unreadable for each in found if each.unreadable), "")
        if unreadable and (options.wait or options.forget_old):  # before anything is written
            raise UnreachableError(unreadable)
        target = target_of(options, environment, found, client.namespace)
        before, following = await _begin(client, target)
        print(
            f"The next CA (key id {_short(following)}) is in the Secret {target.installation.namespace}/"
            f"{target.installation.secret}. The leader installs it in both configurations, waits {OVERLAP.seconds} "
            "seconds, and signs with it.",
            flush=True,
        )
        if not (options.wait or options.forget_old):
            print("See it with `vmguard certs status`.")
            return
        waiting = _Waiting(client, target, options.timeout)
        state = await waiting.until_signing(before)
        until = state.old_until.isoformat(timespec="seconds") if state.old_until else "an unknown time"
        print(f"The new CA (key id {_short(state.current)}) signs.", flush=True)
        if options.forget_old:
            await waiting.forget_old(state)
        else:
            print(f"The old CA (key id {_short(before)}) stays trusted until {until}.")


async def _begin(client: Client, target: NamedInstallation) -> tuple[Authority, Authority]:
    """Store the next CA; the current and the next one."""
    now = datetime.now(UTC)
    installation = target.installation
    found = await read_state(client, installation)
    place = f"Secret {installation.namespace}/{installation.secret}"
    reason = why_not(found, place, now, watches_namespaces=target.watches_namespaces, files=target.cert_dir)
    current = found.rotation.current if found else None
    if reason or found is None or current is None:
        raise _RefusedError(f"No rotation began. {reason}")
    following = Authority.create(AUTHORITY_NAME, now=now, lifetime=AUTHORITY_LIFETIME, only=installation.server_name)
    data = to_data(replace(found.rotation, next=following))
    try:
        await write_secret(client, installation.namespace, installation.secret, found.secret, data)
    except SecretChangedError:
        raise _RefusedError("No rotation began. Another process wrote the Secret meanwhile. Try again.") from None
    return current, following


def why_not(
    found: SecretState | None, place: str, now: datetime, *, watches_namespaces: bool = False, files: str = ""
) -> str:
    """Why no rotation can begin, "" where it can.

    `place` is the Secret, for people; `files` is the directory of the files that vmguard serves, "" for none.
    """
    if files:
        return f"vmguard serves the files in {files}. Rotate the CA where these files are from."
    if found is None:
        return f"The {place} does not exist. Use --namespace and --service, or see `vmguard certs status`."
    if watches_namespaces:
        return f"With WATCH_NAMESPACE vmguard writes nothing. {_STEPS}"
    if is_of_administrator(found.secret):
        return f"The annotation {MANAGED_BY} of the {place} says that an administrator renews the CA. {_STEPS}"
    if found.damage:
        return f"The {place} is damaged, and the leader repairs it: see `vmguard certs status`."
    state = found.rotation
    if state.current is None or not state.current.valid_at(now):
        return f"The {place} has no CA that is valid now. The leader makes a new one without waiting."
    if state.next:
        return (
            f"One is running: the next CA (key id {_short(state.next)}) is stored and does not sign yet. Wait until it "
            "does, see `vmguard certs status`."
        )
    if len(state.old) >= MOST_OLD:
        until = state.old_until.isoformat(timespec="seconds") if state.old_until else "an unknown time"
        return f"{len(state.old)} old CAs are still trusted until {until}: too many for another one."
    return ""


@dataclass
class _Waiting:
    """The wait for the leader, so many seconds for each step. What it waits for is printed when that changes."""

    client: Client
    target: NamedInstallation
    seconds: float
    printed: str = ""

    async def until_signing(self, before: Authority) -> Rotation:
        """Wait until another CA than `before` signs; the state then."""

        async def probe() -> tuple[Rotation | None, str]:
            found = await read_state(self.client, self.target.installation)
            state = found.rotation if found else Rotation()
            following = state.next
            if following is None:
                signs = state.current is not None and state.current != before
                return (state, "") if signs else (None, "The next CA is not in the Secret any more.")
            if wrong := await self._without(lambda bundle: following.certificate in bundle):
                return None, f"Waiting for the leader: {wrong} does not trust both CAs yet."
            return None, f"Both configurations trust both CAs. The leader waits {OVERLAP.seconds} seconds."

        return await self._until(probe)

    async def forget_old(self, state: Rotation) -> None:
        """Remove the old CAs, once each replica that reads the Secret has a certificate of the new CA."""
        only = Rotation(state.current)
        print(f"Waiting {SETTLED.seconds} seconds, in which each replica changes to the new CA.", flush=True)
        await asyncio.sleep(SETTLED.total_seconds())

        async def forgotten() -> tuple[Rotation | None, str]:
            found = await read_state(self.client, self.target.installation)
            if found is None or found.damage or found.rotation.current != only.current or found.rotation.next:
                raise _RefusedError(
                    "The Secret was changed meanwhile. The old CA stays trusted. Run the command again."
                )
            if found.rotation != only:
                names = self.target.installation
                await write_secret(self.client, names.namespace, names.secret, found.secret, to_data(only))
            return only, ""

        async def removed() -> tuple[Rotation | None, str]:
            wrong = await self._without(lambda bundle: set(bundle) == set(only.trusted))
            return (None, f"Waiting for the leader: {wrong} still trusts an old CA.") if wrong else (only, "")

        await self._until(forgotten)
        await self._until(removed)
        print("The old CA has left both configurations.")

    async def _without(self, holds: Callable[[tuple[x509.Certificate, ...]], bool]) -> str:
        """A configuration with a bundle for which that does not hold, "" for none."""
        for each in await read_configurations(self.client, self.target.configuration):
            if each.unreadable:
                raise UnreachableError(each.unreadable)
            bundles = [in_bundle(entry) or () for entry in each.entries or () if self.target.calls(entry)]
            if not all(map(holds, bundles)):
                return f"{each.kind.kind} {self.target.configuration}"
        return ""

    async def _until(self, probe: Callable[[], Awaitable[tuple[Rotation | None, str]]]) -> Rotation:
        end = time.monotonic() + self.seconds
        while True:
            try:
                found, progress = await probe()
            except SecretChangedError:
                found, progress = None, "Another process wrote the Secret. Trying again."
            except UnreachableError as error:
                found, progress = None, without_advice(str(error))
            if found is not None:
                return found
            if time.monotonic() > end:
                raise _RefusedError(
                    f"The wait ended after {self.seconds:g} seconds. {progress} See `vmguard certs status`."
                )
            if progress != self.printed:
                self.printed = progress
                print(progress, flush=True)
            await asyncio.sleep(_EVERY)


def _short(authority: Authority | None) -> str:
    return key_id(authority.certificate)[:8] if authority else "none"
