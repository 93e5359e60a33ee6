"""What vmguard writes into a cluster: objects by server-side apply as the field manager `vmguard`, and events.

Requests are the client library's. It decides nothing of what is written.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

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

from webhook.cluster.answers import reason
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.permission import answered
from webhook.cluster.resources import EVENTS, Resource
from webhook.words import one_line

MANAGER = "vmguard"

_SECONDS = 10.0
"""For one write."""

_BEYOND = "attempting to grant RBAC permissions not currently held"
_APPLY = "application/apply-patch+yaml"
_LONGEST = 1024
"""Characters of an event's message: the API server takes no more."""


class RefusedError(Exception):
    """The API server did not take what was written, or gave no answer; the text says why."""


async def apply(client: Client, resource: Resource, thing: dict[str, Any], *, force: bool) -> None:
    """Make an object, or give back to it what it lacks; with `force` also what others have changed.

    Raises:
        RefusedError: it was not written.

    """
    name, namespace = thing["metadata"]["name"], thing["metadata"].get("namespace", "")

    def ask(api: ApiClient) -> Awaitable[object]:
        written: Awaitable[object]
        if not resource.group:  # ServiceAccounts, the only ones of the core group
            written = CoreV1Api(api).patch_namespaced_service_account(
                name, namespace, thing, field_manager=MANAGER, force=force, _content_type=_APPLY
            )
        elif resource.namespaced:
            written = CustomObjectsApi(api).patch_namespaced_custom_object(
                resource.group,
                resource.version,
                namespace,
                resource.plural,
                name,
                thing,
                field_manager=MANAGER,
                force=force,
                _content_type=_APPLY,
            )
        else:
            written = CustomObjectsApi(api).patch_cluster_custom_object(
                resource.group,
                resource.version,
                resource.plural,
                name,
                thing,
                field_manager=MANAGER,
                force=force,
                _content_type=_APPLY,
            )
        return written

    await _write(client, "patch", resource, namespace, ask)


async def delete(client: Client, resource: Resource, namespace: str, name: str, uid: str) -> None:
    """Delete the very object of that UID; none is as good.

    Raises:
        RefusedError: it was not deleted.

    """
    options = V1DeleteOptions(preconditions=V1Preconditions(uid=uid))

    def ask(api: ApiClient) -> Awaitable[object]:
        objects = CustomObjectsApi(api)
        where = resource.group, resource.version
        gone: Awaitable[object]
        if resource.namespaced:
            gone = objects.delete_namespaced_custom_object(*where, namespace, resource.plural, name, body=options)
        else:
            gone = objects.delete_cluster_custom_object(*where, resource.plural, name, body=options)
        return gone

    await _write(client, "delete", resource, namespace, ask, as_good=(404, 409))


async def tell(client: Client, about: V1ObjectReference, why: str, message: str) -> None:
    """Write a Warning event on an object of a namespace: `why` in one word, and a message for a person.

    Raises:
        RefusedError: it was not written.

    """
    now, namespace = datetime.now(UTC), about.namespace or "default"
    event = CoreV1Event(
        metadata=V1ObjectMeta(generate_name="vmguard-", namespace=namespace),
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

    await _write(client, "create", EVENTS, namespace, ask)


async def _write(
    client: Client,
    verb: str,
    resource: Resource,
    namespace: str,
    ask: Callable[[ApiClient], Awaitable[object]],
    as_good: tuple[int, ...] = (),
) -> None:
    try:
        await client.call(verb, resource.plural, ask, _SECONDS)
    except ApiException as error:
        code, body = error.status or 0, str(error.body or "").encode()
        if code not in as_good:
            why = reason(code, body)
            if code in {401, 403} and _BEYOND not in why:  # then no rule on the resource would do
                why = answered(verb, resource, namespace, code, body)
            raise RefusedError(why) from None
    except (UnreachableError, ValueError) as error:  # the library's models are stricter than the API server
        raise RefusedError(str(error)) from None
