"""The CA bundles in the webhook configurations: it reads them, and writes them with a JSON Patch.

A patch tests the name of each entry and its old bundle. So it changes no entry that someone renamed, moved or wrote
meanwhile. The patch makes vmguard the owner of the bundle only, so an installer can rename and add entries. After a
server-side apply an installer could not (kubernetes#108081).
"""

import asyncio
import base64
import binascii
from typing import Any

import msgspec

from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import JSON, MUTATING_CONFIGURATIONS, VALIDATING_CONFIGURATIONS, Collection
from webhook.cluster.permission import answered

CONFIGURATIONS = (MUTATING_CONFIGURATIONS, VALIDATING_CONFIGURATIONS)

_SECONDS = 5.0
"""For one request."""


class _ServiceReference(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _ClientConfig(msgspec.Struct, rename="camel"):
    service: _ServiceReference | None = None
    ca_bundle: str | None = None


class SelectorExpression(msgspec.Struct, frozen=True):
    """One of the `matchExpressions` of a selector."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] | None = None


class LabelSelector(msgspec.Struct, frozen=True, rename="camel"):
    """A selector of labels; all its parts must match."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[SelectorExpression, ...] | None = None


class EntryRule(msgspec.Struct, frozen=True, rename="camel"):
    """The requests that an entry is called for."""

    operations: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str = ""


class EntryCondition(msgspec.Struct, frozen=True):
    """One of the `matchConditions` of an entry, in CEL."""

    name: str = ""
    expression: str = ""


class EntryScope(msgspec.Struct, frozen=True, rename="camel"):
    """For which requests the API server calls an entry, and what it does without an answer."""

    failure_policy: str = ""
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None
    rules: tuple[EntryRule, ...] | None = None
    match_conditions: tuple[EntryCondition, ...] | None = None


class _Webhook(EntryScope, frozen=True, kw_only=True, rename="camel"):
    client_config: _ClientConfig
    name: str = ""


class _Configuration(msgspec.Struct):
    webhooks: list[_Webhook] | None = None


_decoder = msgspec.json.Decoder(_Configuration)


class WebhookEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a configuration: its place, its name, `NAMESPACE/NAME` of its Service ("" for a URL), its bundle.

    The bundle is PEM, b"" if there is none.
    """

    index: int
    name: str
    service: str
    bundle: bytes
    scope: EntryScope = EntryScope()


async def read_entries(client: Client, kind: Collection, name: str) -> tuple[WebhookEntry, ...] | None:
    """The entries of a configuration, None if there is no such configuration.

    Raises:
        UnreachableError: it cannot be read; the text says why.

    """
    deadline = asyncio.get_running_loop().time() + _SECONDS
    code, body = await client.get(kind.path("", name), JSON, deadline)
    if code == 404:
        return None
    if code != 200:
        raise UnreachableError(answered("get", kind, "", code, body, client.advise))
    try:
        found = _decoder.decode(body)
        return tuple(_entry(index, each) for index, each in enumerate(found.webhooks or ()))
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error):
        raise UnreachableError(f"the API server's answer is no {kind.kind}") from None


async def write_bundle(
    client: Client, kind: Collection, name: str, entries: tuple[WebhookEntry, ...], bundle: bytes
) -> str:
    """Write the bundle into the entries with another one; return "" if they have it now.

    Otherwise it returns the API server's answer: the entries have changed since the read, or a policy of the cluster
    denies the write as invalid.

    Raises:
        UnreachableError: it was not written; the text says why.

    """
    patch = [operation for each in entries if each.bundle != bundle for operation in _operations(each, bundle)]
    if not patch:
        return ""
    code, body = await client.send("PATCH", kind, "", name, patch, _SECONDS)
    if code == 200:
        return ""
    if code in {404, 409, 422}:  # deleted, written meanwhile, or a test of the patch failed
        return answered("patch", kind, "", code, body, client.advise)
    raise UnreachableError(answered("patch", kind, "", code, body, client.advise))


def _operations(entry: WebhookEntry, bundle: bytes) -> list[dict[str, Any]]:
    root = f"/webhooks/{entry.index}"
    path = f"{root}/clientConfig/caBundle"
    return [
        {"op": "test", "path": f"{root}/name", "value": entry.name},
        {"op": "test", "path": path, "value": _text(entry.bundle) if entry.bundle else None},
        {"op": "add", "path": path, "value": _text(bundle)},
    ]


def _entry(index: int, webhook: _Webhook) -> WebhookEntry:
    client = webhook.client_config
    service = f"{client.service.namespace}/{client.service.name}" if client.service else ""
    bundle = base64.b64decode(client.ca_bundle or "", validate=True)
    return WebhookEntry(index, webhook.name, service, bundle, webhook)


def _text(bundle: bytes) -> str:
    return base64.b64encode(bundle).decode()
