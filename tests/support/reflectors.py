"""A reflector that follows one collection of a control plane while a test changes the cluster."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE
from webhook.cluster.client import connected
from webhook.cluster.collections import Collection, custom
from webhook.cluster.reflector import Reflector
from webhook.telemetry.log import Log

SINGLES = custom("VMSingle", "v1beta1")
"""The collection of VMSingles."""


def follow(
    kubeconfig: Path,
    collection: Collection,
    namespace: str,
    *steps: tuple[Callable[[], Any] | None, Callable[[Reflector], Any]],
    changed: Callable[..., None] | None = None,
    of: Callable[..., Reflector] = Reflector,
    keep: Callable[[Any], Any] = lambda found: found,
) -> Reflector:
    """Run a reflector through steps; it has ended when it is returned.

    A step is `(do, expected)`: after `do()`, which runs in a thread, `expected(reflector)` must come true.
    """

    async def run() -> Reflector:
        async with connected(str(kubeconfig)) as connection:
            reflector = of(connection, collection, namespace, keep, Log("error"), changed)
            task = asyncio.create_task(reflector.run())
            try:
                for do, expected in steps:
                    if do is not None:
                        await asyncio.to_thread(do)
                    async with asyncio.timeout(PATIENCE):
                        while not expected(reflector):
                            assert not task.done(), task.result()
                            await asyncio.sleep(0.02)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            return reflector

    return asyncio.run(run())


def names_in(reflector: Reflector) -> set[str]:
    """The names of the objects that a reflector has cached."""
    return {name for _, name in reflector.objects}
