"""Whether the served definitions have the field that names a PodSecurityPolicy, so that vmguard can see a reference.

An API server drops fields that a definition's schema does not have, before it calls any webhook. The definitions of
newer operators no longer have `podSecurityPolicyName`. The result is for people: no decision depends on it. vmguard
lists definitions one by one, because each has some megabytes, and because it may list them but perhaps not get them.
"""

import asyncio
from collections.abc import Iterator

import msgspec

from webhook.cluster.client import Client
from webhook.cluster.collections import DEFINITIONS
from webhook.cluster.discovery import Discovery
from webhook.cluster.listing import FAILURES, pages
from webhook.policy.components import BY_KIND
from webhook.policy.custom_resources import BY_KIND as RESOURCES
from webhook.policy.custom_resources import GROUP
from webhook.policy.posture import POLICY_FIELD

AGAIN = 60.0
"""Seconds until the definitions are read again after a failure."""

_WHOLE = msgspec.structs.replace(DEFINITIONS, metadata_only=False)


class _Part(msgspec.Struct, frozen=True):
    """One level of a structural schema."""

    properties: dict[str, msgspec.Raw] | None = None
    anything: bool = msgspec.field(default=False, name="x-kubernetes-preserve-unknown-fields")


class _Validation(msgspec.Struct, frozen=True):
    schema: _Part | None = msgspec.field(default=None, name="openAPIV3Schema")


class _DefinitionVersion(msgspec.Struct, frozen=True):
    name: str = ""
    schema: _Validation | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    versions: list[_DefinitionVersion] | None = None
    preserve_unknown_fields: bool | None = None


class _Definition(msgspec.Struct, frozen=True):
    spec: _Spec = _Spec()


_definition = msgspec.json.Decoder(_Definition)
_part = msgspec.json.Decoder(_Part)


class Schemas:
    """The fields that the definitions of one cluster have. `told` is one line about it, for a person."""

    def __init__(self, client: Client, discovery: Discovery, *, whole_cluster: bool) -> None:
        self._client = client
        self._discovery = discovery
        self._whole_cluster = whole_cluster
        self.told = "not looked at yet"
        if not whole_cluster:
            self.told = "not known: definitions belong to the cluster and are not read with WATCH_NAMESPACE"

    async def run(self, changed: asyncio.Event) -> None:
        """Read again after each change of definitions, until this is cancelled."""
        while self._whole_cluster:
            changed.clear()
            try:
                self.told = await self._look()
            except FAILURES as error:
                self.told = f"not known: {error}"
            try:
                async with asyncio.timeout(AGAIN if self.told.startswith("not known") else None):
                    await changed.wait()
            except TimeoutError:
                continue

    async def _look(self) -> str:
        pruned: list[str] = []
        served = dict(self._discovery.versions)
        for kind in BY_KIND:
            if kind in served:
                query = f"fieldSelector=metadata.name%3D{RESOURCES[kind].plural}.{GROUP}"
                async for page in pages(self._client, _WHOLE, "", query):
                    for raw in page.items or ():
                        places = missing(kind, served[kind], bytes(raw))
                        pruned += [f"{kind} {place}" for place in places]
        if not pruned:
            return f"{POLICY_FIELD} can be seen in every resource that is served"
        return f"{POLICY_FIELD} is not in the served definition, so it is pruned and cannot be seen, in: " + ", ".join(
            pruned
        )


def missing(kind: str, version: str, definition: bytes) -> list[str]:
    """The places where a definition lets a resource name no policy, as paths such as `spec.vmselect`.

    Parts that the definition does not have at all are left out.

    Raises:
        msgspec.DecodeError: it is no definition.

    """
    spec = _definition.decode(definition).spec
    if spec.preserve_unknown_fields:
        return []
    schema = next((each.schema for each in spec.versions or () if each.name == version), None)
    if schema is None or schema.schema is None:
        return []
    paths = dict.fromkeys((("spec",), *(component.path for component in BY_KIND[kind])))
    return [".".join(path) for path in paths if _keeps(schema.schema, path) is False]


def _keeps(part: _Part, path: tuple[str, ...]) -> bool | None:
    """Whether the schema has the field at a path; None if there is no such path."""
    for each in _down(part, path):
        if each is None:
            return None
        part = each
        if part.anything and not part.properties:
            return True
    return part.anything or POLICY_FIELD in (part.properties or {})


def _down(part: _Part, path: tuple[str, ...]) -> Iterator[_Part | None]:
    for field in path:
        raw = (part.properties or {}).get(field)
        if raw is None:
            yield None
            return
        part = _part.decode(raw)
        yield part
