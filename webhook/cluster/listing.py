"""Lists of a collection, a page at a time, and the reason of a failure, for the person who must fix it."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from webhook.cluster.advice import Advise, general_advice
from webhook.cluster.bounded_json import decoded
from webhook.cluster.client import AnswerTooLargeError, Client, UnreachableError
from webhook.cluster.collections import JSON, METADATA_LIST, Collection
from webhook.cluster.permission import answered
from webhook.cluster.status import reason

PAGE = 50
"""Whole objects."""

METADATA_PAGE = 500
"""Objects of which only the metadata is listed."""

LIST_SECONDS = 60.0
"""For one page."""


class ExpiredError(Exception):
    """The version to continue from has expired (410): list again.

    The API server then offers a token that continues in a newer state. The pages before it would still be older.
    """


class NotAllowedError(Exception):
    """Forbidden or not served, with the verb: another attempt would not help soon."""


FAILURES = (NotAllowedError, ExpiredError, UnreachableError, msgspec.DecodeError)
"""All that `pages` raises."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct):
    """One page of a list; its items are undecoded."""

    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[msgspec.Raw] | None = None


_page = msgspec.json.Decoder(Page)


async def pages(client: Client, resource: Collection, namespace: str = "", query: str = "") -> AsyncIterator[Page]:
    """Every page of a collection, in a namespace or everywhere; with `metadata_only` just the metadata.

    If a page is too large, this page and all further ones have half as many objects.

    Raises:
        NotAllowedError: the list is forbidden, or there is no such collection.
        ExpiredError: it took so long that the rest has expired.
        UnreachableError: there was no whole answer.
        msgspec.DecodeError: an answer cannot be read.

    """
    limit = METADATA_PAGE if resource.metadata_only else PAGE
    accept = METADATA_LIST if resource.metadata_only else JSON
    further = f"&{query}" if query else ""
    token = ""
    while True:
        deadline = asyncio.get_running_loop().time() + LIST_SECONDS
        try:
            code, body = await client.get(f"{resource.path(namespace)}?limit={limit}{further}{token}", accept, deadline)
        except AnswerTooLargeError:
            if limit == 1:
                raise
            limit //= 2
            continue
        check(code, body, "list", resource, namespace, client.advise)
        page = await decoded(_page, body)
        yield page
        if not page.metadata.continue_:
            return
        token = f"&continue={page.metadata.continue_}"
        await asyncio.sleep(0)  # a long list must not hold up admissions


def check(
    code: int, body: bytes, verb: str, resource: Collection, namespace: str, advise: Advise = general_advice
) -> None:
    """Raise the error of a failed answer; the same errors as `pages`."""
    if code == 200:
        return
    if code == 410:
        raise ExpiredError(reason(code, body))
    if code in {401, 403}:
        raise NotAllowedError(answered(verb, resource, namespace, code, body, advise))
    if code == 404:
        raise NotAllowedError(f"{resource} is not served")
    raise UnreachableError(reason(code, body))
