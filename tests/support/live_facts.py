"""Facts that are looked up in a cluster, one after the other."""

import asyncio
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE
from webhook.cluster.client import connected
from webhook.cluster.discovery import Discovery
from webhook.cluster.live import LiveFacts
from webhook.facts import Ref
from webhook.telemetry.log import Log


def looked_up(kubeconfig: Path, *refs: Ref, seconds: float = PATIENCE, names: bool = False) -> list[Any]:
    """The fact of each ref, or with `names` the names of its collection, all within one deadline."""

    async def facts() -> list[Any]:
        async with connected(str(kubeconfig)) as client:
            source = LiveFacts(client, Discovery(client, Log()))
            deadline = asyncio.get_running_loop().time() + seconds
            look_up = source.names if names else source.get
            return [await look_up(ref, deadline) for ref in refs]

    return asyncio.run(facts())
