"""Kubernetes Events: it writes an Event once on an object, and then raises the count.

The requests are plain JSON: the models of the client library would cost each replica 25 MiB and a second at its start.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec

from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import EVENTS, JSON, MANAGER, InvalidNameError
from webhook.cluster.refusal import RefusedError, refusal
from webhook.facts import Ref
from webhook.objects import Metadata
from webhook.text import one_line

AGAIN = 600.0
"""Seconds until the same event is written again, by default."""

_LONGEST = 1024
"""Characters of an event's message. This is vmguard's own bound: the API server limits only those of events.k8s.io/v1,
to 1024 bytes, and vmguard writes core/v1."""

_SECONDS = 10.0
"""For one request."""


class _Involved(msgspec.Struct):
    uid: str = ""


class _Event(msgspec.Struct, rename="camel"):
    metadata: Metadata
    involved_object: _Involved
    count: int | None = None
    last_timestamp: datetime | None = None


_event = msgspec.json.Decoder(_Event)


async def write_event(client: Client, about: Ref, why: str, message: str, again: float = AGAIN) -> None:
    """Write a Warning event on an object of a namespace: `why` in one word, and a message for a person.

    The object's UID, `why` and the message decide the name. If that event exists, its count rises, unless a process has
    raised it in the last `again` seconds of the time of day.

    Raises:
        EndingError, RefusedError: it was not written.

    """
    now = datetime.now(UTC)
    name = _name(about.uid, why, message)
    event = {
        "metadata": {"name": name, "namespace": about.namespace},
        "involvedObject": {
            "apiVersion": f"{about.group}/{about.version}" if about.group else about.version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
        "type": "Warning",
        "reason": why,
        "message": one_line(message, _LONGEST),
        "source": {"component": MANAGER},
        "firstTimestamp": _as_text(now),
        "lastTimestamp": _as_text(now),
        "count": 1,
    }
    try:
        if not await _write(client, "POST", about.namespace, "", event, as_good=(409,)):
            await _raise_count(client, about, name, now, again)
    except (InvalidNameError, UnreachableError, msgspec.DecodeError) as error:
        raise RefusedError(str(error)) from None


async def _raise_count(client: Client, about: Ref, name: str, now: datetime, again: float) -> None:
    """Raise the count of an existing event, if it is about this object and was not written just now."""
    deadline = asyncio.get_running_loop().time() + _SECONDS
    code, body = await client.get(EVENTS.path(about.namespace, name), JSON, deadline)
    if code != 200:
        raise refusal("get", EVENTS, about.namespace, code, body, client.advise)
    found = _event.decode(body)
    of_another = found.involved_object.uid != about.uid
    if of_another or (found.last_timestamp and abs(now - found.last_timestamp) < timedelta(seconds=again)):
        return
    raised = {
        "metadata": {"resourceVersion": found.metadata.resource_version},
        "count": (found.count or 1) + 1,
        "lastTimestamp": _as_text(now),
    }
    await _write(client, "PATCH", about.namespace, name, raised, as_good=(404, 409))


async def _write(
    client: Client, method: str, namespace: str, name: str, body: dict[str, Any], as_good: tuple[int, ...]
) -> bool:
    """Whether it was written; False for an answer that is `as_good`."""
    code, answer = await client.send(method, EVENTS, namespace, name, body, _SECONDS)
    if code in {200, 201}:
        return True
    if code in as_good:
        return False
    raise refusal("create" if method == "POST" else "patch", EVENTS, namespace, code, answer, client.advise)


def _name(*parts: str) -> str:
    return f"{MANAGER}.{sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def _as_text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
