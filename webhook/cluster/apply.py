"""What vmguard writes into a cluster, as the field manager `vmguard`: objects, and events.

An object is made only where there is none, and changed or deleted only as the one that was read: nothing is ever merged
into what somebody made meanwhile. Requests are the client library's. It decides nothing of what is written.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec
from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    CoreV1Api,
    CoreV1Event,
    CustomObjectsApi,
    V1DeleteOptions,
    V1EventSource,
    V1ObjectMeta,
    V1ObjectReference,
    V1Preconditions,
)

from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import EVENTS, JSON, Collection, InvalidNameError
from webhook.cluster.permission import answered
from webhook.cluster.status import ends
from webhook.objects import Metadata
from webhook.text import one_line

MANAGER = "vmguard"

_SECONDS = 10.0
"""For one write."""


class _Involved(msgspec.Struct):
    uid: str = ""


class _Event(msgspec.Struct, rename="camel"):
    metadata: Metadata
    involved_object: _Involved
    count: int | None = None
    last_timestamp: datetime | None = None


_event = msgspec.json.Decoder(_Event)

_APPLY = "application/apply-patch+yaml"
_LONGEST = 1024
"""Characters of an event's message. This is vmguard's own bound: the API server limits only those of events.k8s.io/v1,
to 1024 bytes, and vmguard writes core/v1."""


class RefusedError(Exception):
    """The API server did not take what was written, or gave no answer; the text says why."""


class EndingError(RefusedError):
    """Nothing can be made in a namespace that is being deleted, which is nobody's fault."""


async def create(client: Client, resource: Collection, thing: dict[str, Any]) -> bool:
    """Make an object; False where there is one of its name already.

    Raises:
        EndingError, RefusedError: it was not made.

    """
    namespace = thing["metadata"].get("namespace", "")
    _check(resource, namespace, thing["metadata"]["name"])

    def ask(api: ApiClient) -> Awaitable[object]:
        objects: Any = CustomObjectsApi(api)
        make = objects.create_namespaced_custom_object if resource.namespaced else objects.create_cluster_custom_object
        where = _where(resource, namespace)
        if not resource.group:  # ServiceAccounts, the only ones of the core group
            make, where = CoreV1Api(api).create_namespaced_service_account, [namespace]
        made: Awaitable[object] = make(*where, thing, field_manager=MANAGER)
        return made

    return await _write(client, "create", resource, namespace, ask, as_good=(409,))


async def apply(client: Client, resource: Collection, thing: dict[str, Any], there: dict[str, Any]) -> None:
    """Give back to the very object that was read what it lacks, and what others have changed.

    Raises:
        RefusedError: it was not written, or is another by now.

    """
    name, namespace = thing["metadata"]["name"], thing["metadata"].get("namespace", "")
    _check(resource, namespace, name)
    read = {key: there["metadata"][key] for key in ("uid", "resourceVersion")}
    body = thing | {"metadata": thing["metadata"] | read}

    def ask(api: ApiClient) -> Awaitable[object]:
        objects: Any = CustomObjectsApi(api)
        write = objects.patch_namespaced_custom_object if resource.namespaced else objects.patch_cluster_custom_object
        where = [*_where(resource, namespace), name]
        if not resource.group:
            write, where = CoreV1Api(api).patch_namespaced_service_account, [name, namespace]
        written: Awaitable[object] = write(*where, body, field_manager=MANAGER, force=True, _content_type=_APPLY)
        return written

    await _write(client, "patch", resource, namespace, ask)


async def delete(client: Client, resource: Collection, namespace: str, name: str, uid: str) -> None:
    """Delete the very object of that UID; none is as good.

    Raises:
        RefusedError: it was not deleted.

    """
    _check(resource, namespace, name)
    options = V1DeleteOptions(preconditions=V1Preconditions(uid=uid))

    def ask(api: ApiClient) -> Awaitable[object]:
        objects: Any = CustomObjectsApi(api)
        remove = (
            objects.delete_namespaced_custom_object if resource.namespaced else objects.delete_cluster_custom_object
        )
        gone: Awaitable[object] = remove(*_where(resource, namespace), name, body=options)
        return gone

    await _write(client, "delete", resource, namespace, ask, as_good=(404, 409))


async def tell(client: Client, about: V1ObjectReference, why: str, message: str, again: float = 600.0) -> None:
    """Write a Warning event on an object of a namespace: `why` in one word, and a message for a person.

    The name follows from the object's UID, `why` and the message. If that event exists its count is raised, unless that
    was done, by whichever process, in the last `again` seconds of the time of day.

    Raises:
        EndingError, RefusedError: it was not written.

    """
    now, namespace = datetime.now(UTC), about.namespace or "default"
    name = _event_name(about.uid or "", why, message)
    _check(EVENTS, namespace, name)
    event = CoreV1Event(
        metadata=V1ObjectMeta(name=name, namespace=namespace),
        involved_object=about,
        type="Warning",
        reason=why,
        message=one_line(message, _LONGEST),
        source=V1EventSource(component=MANAGER),
        first_timestamp=now,
        last_timestamp=now,
        count=1,
    )

    def ask(api: ApiClient) -> Awaitable[object]:
        made: Awaitable[object] = CoreV1Api(api).create_namespaced_event(namespace, event)
        return made

    if not await _write(client, "create", EVENTS, namespace, ask, as_good=(409,)):
        await _raise_count(client, about, name, now, again)


def _event_name(*parts: str) -> str:
    return f"{MANAGER}.{sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


async def _raise_count(client: Client, about: V1ObjectReference, name: str, now: datetime, again: float) -> None:
    """Raise the count of an event that exists, if it is about this object and was not written just now."""
    namespace = about.namespace or "default"
    deadline = asyncio.get_running_loop().time() + _SECONDS
    try:
        code, body = await client.get(EVENTS.path(namespace, name), JSON, deadline)
        if code != 200:
            raise RefusedError(answered("get", EVENTS, namespace, code, body))
        found = _event.decode(body)
    except (UnreachableError, msgspec.DecodeError) as error:
        raise RefusedError(str(error)) from None
    of_another = found.involved_object.uid != about.uid
    if of_another or (found.last_timestamp and abs(now - found.last_timestamp) < timedelta(seconds=again)):
        return
    raised = {
        "metadata": {"resourceVersion": found.metadata.resource_version},
        "count": (found.count or 1) + 1,
        "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }

    def ask(api: ApiClient) -> Awaitable[object]:
        patched: Awaitable[object] = CoreV1Api(api).patch_namespaced_event(
            name, namespace, raised, _content_type="application/merge-patch+json"
        )
        return patched

    await _write(client, "patch", EVENTS, namespace, ask, as_good=(404, 409))


def _where(resource: Collection, namespace: str) -> list[str]:
    """What the library's calls on any object take to find its collection."""
    return [resource.group, resource.version, *([namespace] if resource.namespaced else []), resource.plural]


def _check(resource: Collection, namespace: str, name: str) -> None:
    """Refuse a name that would lead the library's path to another object."""
    try:
        resource.check(namespace, name)
    except InvalidNameError as error:
        raise RefusedError(str(error)) from None


async def _write(
    client: Client,
    verb: str,
    resource: Collection,
    namespace: str,
    ask: Callable[[ApiClient], Awaitable[object]],
    as_good: tuple[int, ...] = (),
) -> bool:
    """Whether it was written; False for an answer that is `as_good`."""
    try:
        await client.call(verb, resource.plural, ask, _SECONDS)
    except ApiException as error:
        code, body = error.status or 0, str(error.body or "").encode()
        if code not in as_good:
            refused = EndingError if ends(code, body) else RefusedError
            raise refused(answered(verb, resource, namespace, code, body)) from None
        return False
    except (UnreachableError, ValueError) as error:  # the library's models are stricter than the API server
        raise RefusedError(str(error)) from None
    return True
