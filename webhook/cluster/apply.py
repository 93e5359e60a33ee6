"""Writes of objects into a cluster, as the field manager `vmguard`.

It creates an object only if there is none, and changes or deletes only the object that was read. So it never merges
into an object that someone made meanwhile. The client library makes the requests. This module does not decide what to
write.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    CoreV1Api,
    CustomObjectsApi,
    V1DeleteOptions,
    V1Preconditions,
)

from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import MANAGER, Collection, InvalidNameError
from webhook.cluster.refusal import RefusedError, refusal

_SECONDS = 10.0
"""For one write."""


_APPLY = "application/apply-patch+yaml"


async def create(client: Client, resource: Collection, thing: dict[str, Any]) -> bool:
    """Create an object; False if one with its name exists already.

    Raises:
        EndingError, RefusedError: it was not created.

    """
    namespace = thing["metadata"].get("namespace", "")
    _check(resource, namespace, thing["metadata"]["name"])

    def ask(api: ApiClient) -> Awaitable[object]:
        objects: Any = CustomObjectsApi(api)
        make = objects.create_namespaced_custom_object if resource.namespaced else objects.create_cluster_custom_object
        where = _where(resource, namespace)
        if not resource.group:  # the only objects of the core group here are ServiceAccounts
            make, where = CoreV1Api(api).create_namespaced_service_account, [namespace]
        made: Awaitable[object] = make(*where, thing, field_manager=MANAGER)
        return made

    return await _write(client, "create", resource, namespace, ask, as_good=(409,))


async def apply(client: Client, resource: Collection, thing: dict[str, Any], there: dict[str, Any]) -> None:
    """Restore the fields of the object that was read: missing ones, and those that others have changed.

    Raises:
        RefusedError: it was not written, or another object has its name by now.

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
    """Delete the object with that UID; it may be gone already.

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


def _where(resource: Collection, namespace: str) -> list[str]:
    """The arguments that lead the library's calls to a collection."""
    return [resource.group, resource.version, *([namespace] if resource.namespaced else []), resource.plural]


def _check(resource: Collection, namespace: str, name: str) -> None:
    """Refuse a name that would make the library's path lead to another object."""
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
            raise refusal(verb, resource, namespace, code, body, client.advise) from None
        return False
    except (UnreachableError, ValueError) as error:  # the library's models are stricter than the API server
        raise RefusedError(str(error)) from None
    return True
