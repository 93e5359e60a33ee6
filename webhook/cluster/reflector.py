"""A reflector caches one collection of the API: it lists in pages, then watches, and lists again when the watch breaks.

The cached objects serve until a new list is complete, so no reader sees half of a list. After a broken watch the
reflector continues from the last version. A version that is too old (410) leads to a new list. The API server sends a
bookmark at least every minute, so the reflector notices a dead connection. After each attempt it waits, and it waits
longer when watches end early. `unreadable` names each object that it cannot read; the other objects are cached. A
reflector does not interpret objects: `keep` returns what to cache of an object, and it calls `changed` after a change.
"""

import asyncio
import random
from collections.abc import Callable

import msgspec

from webhook.cluster.backoff import Backoff
from webhook.cluster.bounded_json import decoded
from webhook.cluster.cache_share import CacheShare, ObjectKey
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import JSON, METADATA, Collection
from webhook.cluster.listing import ExpiredError, NotAllowedError, check, pages
from webhook.cluster.status import status_of
from webhook.objects import KubeObject, Metadata
from webhook.policy.projection import LARGEST_CACHED, ResourceTooLargeError
from webhook.telemetry.line_budget import LineBudget
from webhook.telemetry.log import Log
from webhook.text import one_line

WATCH_SECONDS = (300, 600)
"""Seconds that a watch should live, a random number between these two, so that watches do not all end together."""

SILENCE = 150.0
"""Seconds without any data, not even a bookmark, after which a connection counts as dead."""

_UNWATCHED = "listed, but its watch is not open yet"


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Identity(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Named(msgspec.Struct):
    metadata: _Identity


_event = msgspec.json.Decoder(_Event)
_object = msgspec.json.Decoder(KubeObject)
_named = msgspec.json.Decoder(_Named)
_encode = msgspec.json.Encoder().encode


class Reflector:
    """A collection, in one namespace or ("") all; `objects` are the cached objects by key.

    `trouble` is the current problem, "" for none. `synced` is set after the first complete list. `heard` is the loop's
    time at which `objects` was last known to be current. `unreadable` has the reasons why objects are not cached.
    """

    def __init__(
        self,
        client: Client,
        resource: Collection,
        namespace: str,
        keep: Callable[[KubeObject], KubeObject],
        log: Log,
        changed: Callable[[ObjectKey, KubeObject | None], None] | None = None,
        weigh: Callable[[KubeObject], int] | None = None,
    ) -> None:
        self._client = client
        self.resource = resource
        self.namespace = namespace
        self._keep = keep
        self._log = log
        self._budget = LineBudget()
        self._changed = changed
        self._weigh = weigh
        self._share = CacheShare(LARGEST_CACHED)
        self.objects: dict[ObjectKey, KubeObject] = {}
        self.unreadable: dict[ObjectKey, str] = {}
        self.synced = asyncio.Event()
        self.trouble = "not listed yet"
        self._told = ""
        self.heard = 0.0
        self.lists = 0
        self._version = ""
        self._watched = 0.0

    def __str__(self) -> str:
        return f"{self.resource}{f' in {self.namespace}' if self.namespace else ''}"

    async def run(self) -> None:
        """Follow the collection until this is cancelled."""
        backoff = Backoff()
        version = ""
        while True:
            self._watched = 0.0
            hopeless = False
            try:
                version = await self._watch(version or await self._list_all())
            except ExpiredError:
                self._troubled("what was known is too old for the API server (HTTP 410): listing anew")
                version = ""
            except NotAllowedError as error:
                self._troubled(str(error))
                version, hopeless = "", True
            except UnreachableError as error:
                self._troubled(str(error))
                version = self._version
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._troubled(f"an answer cannot be read: {error}")
                version = ""
            await asyncio.sleep(backoff.longest() if hopeless else backoff.after(self._watched))

    def put(self, found: KubeObject) -> KubeObject:
        """Cache an object from a live read, if it is newer than the watch; return what is cached of it.

        An object that is not newer is cached already, or deleted by now.
        """
        version = found.metadata.resource_version or ""
        if self.synced.is_set() and version.isdigit() and self._version.isdigit() and int(version) > int(self._version):
            self._put(_key(found), found)
        return self._kept(_key(found), found)

    async def _list_all(self) -> str:
        """List every page, then serve the new state; return its version."""
        found: dict[ObjectKey, KubeObject] = {}
        unreadable: dict[ObjectKey, str] = {}
        share = CacheShare(LARGEST_CACHED)
        version = ""
        async for page in pages(self._client, self.resource, self.namespace, self._selector()):
            for raw in page.items or ():
                each, why = await _read(raw)
                key = _key(each)
                if not why:
                    kept, why = self._cacheable(key, each, share)
                if why:
                    unreadable[key] = why
                else:
                    found[key] = kept
            version = page.metadata.resource_version
        before, self.objects, self._share = self.objects, found, share
        for key in self.unreadable.keys() - unreadable.keys():
            del self.unreadable[key]
        for key, why in unreadable.items():
            self._cannot_read(key, why)
        if self._changed:
            for key in before.keys() - found.keys():
                self._changed(key, None)
            for key, kept in found.items():
                if kept is not before.get(key):
                    self._changed(key, kept)
        self._version = version
        self.lists += 1
        self.heard = asyncio.get_running_loop().time()
        self.trouble = self._told or _UNWATCHED
        self.synced.set()
        return self._version

    async def _watch(self, version: str) -> str:
        """Follow the collection from a version; return the version to continue from after the watch has ended."""
        self._version = version
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 - as above
        query = f"watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
        selector = self._selector()
        path = f"{self.resource.path(self.namespace)}?{query}{f'&{selector}' if selector else ''}"
        accept = METADATA if self.resource.metadata_only else JSON
        async with self._client.lines(path, accept, SILENCE) as (code, lines):
            if code != 200:
                body = b"".join([line async for line in lines])  # metadata only: indented, on many lines
                check(code, body, "watch", self.resource, self.namespace, self._client.advise)
            self._well()
            began = self.heard
            try:
                async for line in lines:
                    event = await decoded(_event, line)
                    if event.type == "ERROR":
                        said = status_of(event.object)
                        body = bytes(event.object)
                        check(said.code, body, "watch", self.resource, self.namespace, self._client.advise)
                    await self._take(event)
            finally:
                self._watched = asyncio.get_running_loop().time() - began
        return self._version

    async def _take(self, event: _Event) -> None:
        found, why = await _read(event.object)
        key = _key(found)
        if event.type == "DELETED":
            self._drop(key)
        elif event.type in {"ADDED", "MODIFIED"} and why:
            self._drop(key, why)
        elif event.type in {"ADDED", "MODIFIED"}:
            self._put(key, found)
        self._version = found.metadata.resource_version or self._version
        self.heard = asyncio.get_running_loop().time()

    def _put(self, key: ObjectKey, found: KubeObject) -> None:
        before = self.objects.get(key)
        kept, why = self._cacheable(key, found, self._share)
        if why:
            self._drop(key, why)
            return
        self.objects[key] = kept
        self.unreadable.pop(key, None)
        if self._changed and kept is not before:
            self._changed(key, kept)

    def _cacheable(self, key: ObjectKey, found: KubeObject, share: CacheShare) -> tuple[KubeObject, str]:
        """What to cache of an object, and "" or why it cannot be cached; it counts in its namespace's share."""
        try:
            kept = self._kept(key, found)
        except ResourceTooLargeError as error:
            share.drop(key)
            return found, f"its spec is too large: {error}: its pods count as not known until it is changed"
        return kept, share.take(key, self._weigh(kept)) if self._weigh else ""

    def _kept(self, key: ObjectKey, found: KubeObject) -> KubeObject:
        """What to cache of an object: the same Python object as before while nothing that decisions read differs."""
        kept, before = self._keep(found), self.objects.get(key)
        return before if before is not None and _same(before, kept) else kept

    def _drop(self, key: ObjectKey, why: str = "") -> None:
        if why:
            self._cannot_read(key, why)
        else:
            self.unreadable.pop(key, None)
        self._share.drop(key)
        if self.objects.pop(key, None) is not None and self._changed:
            self._changed(key, None)

    def _cannot_read(self, key: ObjectKey, why: str) -> None:
        changed, self.unreadable[key] = self.unreadable.get(key) != why, why
        more = self._budget.fields("not readable") if changed else None
        if more is not None:
            self._log.write(
                "warning", "object not readable", resource=str(self), object="/".join(key), reason=why, **more
            )

    def _selector(self) -> str:
        return f"labelSelector={self.resource.selector.replace('=', '%3D')}" if self.resource.selector else ""

    def _well(self) -> None:
        self.heard = asyncio.get_running_loop().time()
        if self._told:
            self._log.write("info", "watching again", resource=str(self))
        self.trouble = self._told = ""

    def _troubled(self, why: str) -> None:
        if why != self._told:
            self._log.write("warning", "not watching", resource=str(self), reason=why)
        self.trouble = self._told = why


def _key(found: KubeObject) -> ObjectKey:
    return found.metadata.namespace or "", found.metadata.name or ""


def _same(before: KubeObject, kept: KubeObject) -> bool:
    """Whether nothing differs. It compares the specs as JSON, because 1 equals True in Python."""
    if msgspec.structs.astuple(before.metadata) != msgspec.structs.astuple(kept.metadata):
        return False
    try:
        return _encode(before.spec) == _encode(kept.spec)
    except (OverflowError, ValueError, RecursionError):  # an integer that is too large, or too deep for this Python
        return False


async def _read(raw: msgspec.Raw) -> tuple[KubeObject, str]:
    """An object, and "" or why it cannot be read; an unreadable object has only its name and version."""
    try:
        return await decoded(_object, raw), ""
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said, why = (await decoded(_named, raw)).metadata, one_line(error, 300)
        meta = Metadata(name=said.name, namespace=said.namespace, resource_version=said.resource_version)
        return KubeObject(meta), f"it cannot be read: {why}: its pods count as not known until it is changed"
