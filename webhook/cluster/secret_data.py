"""One Secret, read and written as bytes by name. It writes only to the Secret that was read, and never creates one.

This module does not know the meaning of the data, and no error repeats any of it.
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import JSON, SECRETS
from webhook.cluster.permission import answered

_SECONDS = 5.0
"""For one request."""


class SecretChangedError(Exception):
    """Another process wrote or deleted the Secret after it was read. Read it again."""


class SecretData(msgspec.Struct, frozen=True):
    """The data of a Secret at the time of a read; `written` is the whole object, for the next write."""

    data: dict[str, bytes]
    written: dict[str, Any]

    @property
    def annotations(self) -> Mapping[str, str]:
        metadata = self.written.get("metadata") or {}
        found: Mapping[str, str] = metadata.get("annotations") or {}
        return found


async def read_secret(client: Client, namespace: str, name: str) -> SecretData | None:
    """The Secret, None if there is none.

    Raises:
        UnreachableError: it cannot be read; the text says why.

    """
    deadline = asyncio.get_running_loop().time() + _SECONDS
    code, body = await client.get(SECRETS.path(namespace, name), JSON, deadline)
    if code == 404:
        return None
    if code != 200:
        raise UnreachableError(answered("get", SECRETS, namespace, code, body, client.advise))
    return _decoded(body)


async def write_secret(client: Client, namespace: str, name: str, read: SecretData, data: Mapping[str, bytes]) -> None:
    """Replace the data of the Secret that was read.

    Raises:
        SecretChangedError: it has changed since the read.
        UnreachableError: it was not written; the text says why.

    """
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    code, body = await client.send("PUT", SECRETS, namespace, name, {**read.written, "data": encoded}, _SECONDS)
    if code in {404, 409}:
        raise SecretChangedError(answered("update", SECRETS, namespace, code, body, client.advise))
    if code != 200:
        raise UnreachableError(answered("update", SECRETS, namespace, code, body, client.advise))


def _decoded(body: bytes) -> SecretData:
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
        data = {str(key): base64.b64decode(value, validate=True) for key, value in (found.get("data") or {}).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, AttributeError, binascii.Error):
        raise UnreachableError("the API server's answer is no Secret") from None
    return SecretData(data, found)
