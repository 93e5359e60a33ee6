"""Facts from live reads of the API server: one GET for each fact, within the request's deadline.

There are three negative answers. A 404 that names an object means "no such object". Another 404 means "no such API".
Every other answer without an object means "unknown". Paths contain only texts from the tables and valid names.
"""

import re
from collections.abc import Callable

import msgspec

from webhook.cluster.bounded_json import decoded
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import (
    BUILT_IN,
    JSON,
    METADATA,
    METADATA_LIST,
    NAMESPACES,
    Collection,
    InvalidNameError,
    custom,
    served,
)
from webhook.cluster.discovery import Discovery
from webhook.cluster.fair_queue import OWN
from webhook.cluster.permission import without_command
from webhook.cluster.status import names_an_object, reason
from webhook.facts import MOST_NAMES, Absent, Fact, Found, NotServed, Ref, Unknown
from webhook.name_forms import is_subdomain
from webhook.objects import KubeObject
from webhook.policy.custom_resources import BY_KIND, GROUP

_API_VERSION = re.compile(r"v[0-9]{1,3}(?:(?:alpha|beta)[0-9]{1,3})?")


class _Name(msgspec.Struct):
    name: str = ""


class _Item(msgspec.Struct):
    metadata: _Name = msgspec.field(default_factory=_Name)


class _List(msgspec.Struct):
    items: list[_Item] | None = None


_object = msgspec.json.Decoder(KubeObject)
_list = msgspec.json.Decoder(_List)


class LiveFacts:
    """Facts from the API server, each with a request of its own.

    `namespaces` are those of WATCH_NAMESPACE. A Role in such a namespace may grant `get` on the Namespace itself. The
    API server authorizes a GET of one Namespace as a request in that namespace (seen with Kubernetes 1.37). `on_read`
    gets the payer of each read and the bytes of the answer.
    """

    def __init__(self, client: Client, discovery: Discovery, namespaces: tuple[str, ...] = ()) -> None:
        self._client = client
        self._discovery = discovery
        self._namespaces = frozenset(namespaces)
        self.on_read: Callable[[str, int], None] = lambda _payer, _size: None

    async def get(self, ref: Ref, deadline: float, payer: str = OWN) -> Fact:
        """The fact on one object; never raises.

        `deadline` is a time of the running loop's clock, in seconds. `payer` is the namespace that the read is for.
        """
        fact: Fact = NotServed("live")
        for place in self._places(ref):
            fact = await self._get(place, ref, deadline, payer)
            if type(fact) is not NotServed:
                return fact
        return fact

    async def names(self, ref: Ref, deadline: float, payer: str = OWN) -> tuple[str, ...]:
        """The first `MOST_NAMES` names of objects of the ref's kind and namespace; () if the list fails."""
        for place in self._places(ref):
            try:
                path = f"{place.path(ref.namespace)}?limit={MOST_NAMES}"
                status, body = await self._client.get(path, METADATA_LIST, deadline, payer)
                if status == 200:
                    found = await decoded(_list, body)
                    return tuple(sorted(item.metadata.name for item in found.items or ()))
            except (UnreachableError, InvalidNameError, msgspec.DecodeError, UnicodeDecodeError):
                continue
        return ()

    def _places(self, ref: Ref) -> list[Collection]:
        """The collections that may have an object; for the operator's resources, the served version comes first."""
        if ref.group != GROUP or ref.kind not in BY_KIND:
            return [BUILT_IN[ref.group, ref.kind]]
        versions = served(ref.kind, self._discovery.versions).version, ref.version
        return [custom(ref.kind, each) for each in dict.fromkeys(versions) if _API_VERSION.fullmatch(each)]

    async def _get(self, place: Collection, ref: Ref, deadline: float, payer: str) -> Fact:
        possible = is_subdomain(ref.name)
        verb = "get" if possible else "list"
        accept = JSON if not place.metadata_only else METADATA if possible else METADATA_LIST
        try:
            path = place.path(ref.namespace, ref.name) if possible else f"{place.path(ref.namespace)}?limit=1"
            status, body = await self._client.get(path, accept, deadline, payer)
            self.on_read(payer, len(body))
            permissions = self._discovery.permissions
            where = ref.name if place is NAMESPACES and ref.name in self._namespaces else ref.namespace
            if status == 403:
                why = permissions.forbidden(verb, place, where, reason(status, body))
                return Unknown(without_command(why), "live")
            if status in {200, 404}:
                permissions.allowed(verb, place, where)
            if status == 200:
                return await _found(body, ref) if possible else Absent("live")
            if status == 404:
                return Absent("live") if names_an_object(body) else NotServed("live")
        except (UnreachableError, InvalidNameError) as error:
            return Unknown(str(error), "live")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Unknown(f"the API server's answer on {ref} cannot be read: {error}", "live")
        return Unknown(reason(status, body), "live")


async def _found(body: bytes, ref: Ref) -> Fact:
    found = await decoded(_object, body)
    if found.metadata.name != ref.name or (found.metadata.namespace or "") != ref.namespace:
        return Unknown(f"the API server answered with another object than {ref}", "live")
    return Found(found, "live")
