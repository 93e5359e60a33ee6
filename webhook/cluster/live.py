"""Live look-ups as a FactSource: one GET a fact, by the request's deadline, and what the API server says is believed.

"No such object", "no such API" and "could not ask" stay three answers: a 404 that names an object, a 404 that does not,
and everything else that is no object. Paths are built from the tables, never from what a reference says of itself, and
every part of them is escaped.
"""

import asyncio
import random
import re
from urllib.parse import quote

import msgspec

from webhook.cluster.client import JSON, METADATA, METADATA_LIST, Client, UnreachableError
from webhook.facts import NEWEST_MINOR, Absent, Fact, Found, NotServed, Ref, Unknown, parse_kubernetes_version
from webhook.objects import KubeObject
from webhook.policy.resources import BY_KIND, GROUP
from webhook.policy.workload import is_subdomain
from webhook.telemetry.log import Log

_RETRY = (0.2, 10.0)
"""Seconds between attempts to reach a cluster at the start: the first pause, and the longest."""

_ANSWER_TO_VERSION = 5.0

_KINDS = {
    ("apps", "ReplicaSet"): ("apis/apps/v1", "replicasets", True),
    ("apps", "Deployment"): ("apis/apps/v1", "deployments", True),
    ("apps", "StatefulSet"): ("apis/apps/v1", "statefulsets", True),
    ("apps", "DaemonSet"): ("apis/apps/v1", "daemonsets", True),
    ("", "Namespace"): ("api/v1", "namespaces", False),
    ("policy", "PodSecurityPolicy"): ("apis/policy/v1beta1", "podsecuritypolicies", False),
}
"""API path, plural and whether namespaced, of what is not the operator's; only its metadata is ever read."""

_API_VERSION = re.compile(r"v[0-9]{1,3}(?:(?:alpha|beta)[0-9]{1,3})?")


class _Details(msgspec.Struct):
    name: str = ""


class _Status(msgspec.Struct):
    message: str = ""
    details: _Details | None = None


class _Item(msgspec.Struct):
    metadata: _Details = msgspec.field(default_factory=_Details)


class _List(msgspec.Struct):
    items: list[_Item] = []


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""
    major: str = ""
    minor: str = ""


_object = msgspec.json.Decoder(KubeObject)
_status = msgspec.json.Decoder(_Status)
_list = msgspec.json.Decoder(_List)
_version = msgspec.json.Decoder(_Version)


class LiveFacts:
    """Facts read from the API server, each when it is asked for."""

    labels_suffice = False

    def __init__(self, client: Client, log: Log) -> None:
        self._client = client
        self._log = log
        self._minor: int | None = None
        self.trouble = "not reached yet"

    @property
    def minor(self) -> int:
        """The cluster's minor version; the newest known until the cluster has said it."""
        return NEWEST_MINOR if self._minor is None else self._minor

    async def learn(self) -> None:
        """Wait until the cluster has said its version; each failure is logged, and the next attempt comes later."""
        pause, longest = _RETRY
        while True:
            self.trouble = await self._learn()
            if not self.trouble:
                return
            self._log.write("warning", "cluster not reached", reason=self.trouble, seconds=pause)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads replicas, guards nothing
            pause = min(pause * 2, longest)

    async def _learn(self) -> str:
        """Why the version is not known, "" when it is."""
        try:
            status, body = await self._client.get("/version", JSON, _soon(_ANSWER_TO_VERSION))
            if status != 200:
                return _reason(status, body)
            said = _version.decode(body)
            self._minor = _minor(said)
        except UnreachableError as error:
            return str(error)
        except ValueError as error:
            return f"the API server's version cannot be read: {error}"
        return ""

    async def get(self, ref: Ref, deadline: float) -> Fact:
        """What the API server says of one object."""
        fact: Fact = NotServed("live")
        for prefix, plural, accept in _places(ref):
            fact = await self._get(
                f"/{prefix}/{_within(ref.namespace)}{plural}/{quote(ref.name, safe='')}", accept, ref, deadline
            )
            if type(fact) is not NotServed:
                return fact
        return fact

    async def _get(self, path: str, accept: str, ref: Ref, deadline: float) -> Fact:
        if not is_subdomain(ref.name):
            return await self._impossible(path.rpartition("/")[0], deadline)
        try:
            status, body = await self._client.get(path, accept, deadline)
            if status == 200:
                found = _object.decode(body)
                if found.metadata.name != ref.name or (found.metadata.namespace or "") != ref.namespace:
                    return Unknown(f"the API server answered with another object than {ref}", "live")
                return Found(found, "live")
            if status == 404:
                return Absent("live") if _names_an_object(body) else NotServed("live")
        except UnreachableError as error:
            return Unknown(str(error), "live")
        except msgspec.DecodeError as error:
            return Unknown(f"the API server's answer on {ref} cannot be read: {error}", "live")
        return Unknown(_reason(status, body), "live")

    async def _impossible(self, collection: str, deadline: float) -> Fact:
        """The fact about a name that no object can have: Absent, unless the whole API is not served or not known."""
        try:
            status, body = await self._client.get(f"{collection}?limit=1", METADATA_LIST, deadline)
        except UnreachableError as error:
            return Unknown(str(error), "live")
        if status == 404:
            return NotServed("live")
        return Absent("live") if status == 200 else Unknown(_reason(status, body), "live")

    async def names(self, ref: Ref, deadline: float) -> tuple[str, ...]:
        """Names of the objects of the ref's kind and namespace, the first 500; () when they cannot be listed."""
        for prefix, plural, _ in _places(ref):
            path = f"/{prefix}/{_within(ref.namespace)}{plural}?limit=500"
            try:
                status, body = await self._client.get(path, METADATA_LIST, deadline)
                if status == 200:
                    return tuple(sorted(item.metadata.name for item in _list.decode(body).items))
            except (UnreachableError, msgspec.DecodeError):
                continue
        return ()


def _places(ref: Ref) -> list[tuple[str, str, str]]:
    """Where an object may be: API path, plural, and what to accept. Of a resource, the table's version goes first."""
    if ref.group == GROUP and ref.kind in BY_KIND:
        known = BY_KIND[ref.kind]
        versions = dict.fromkeys((known.storage, ref.version))
        return [(f"apis/{GROUP}/{v}", known.plural, JSON) for v in versions if _API_VERSION.fullmatch(v)]
    prefix, plural, _ = _KINDS[ref.group, ref.kind]
    return [(prefix, plural, METADATA)]


def _within(namespace: str) -> str:
    return f"namespaces/{quote(namespace, safe='')}/" if namespace else ""


def _names_an_object(body: bytes) -> bool:
    """Whether a 404 is about an object; that of an API that is not served names none (it is plain text)."""
    try:
        details = _status.decode(body).details
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return details is not None and bool(details.name)


def _reason(status: int, body: bytes) -> str:
    try:
        message = _status.decode(body).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = ""
    return f"HTTP {status} from the API server{f': {message[:300]}' if message else ''}"


def _minor(said: _Version) -> int:
    digits = re.match(r"[0-9]+", said.minor)
    if said.major == "1" and digits:
        return int(digits[0])
    return parse_kubernetes_version(said.git_version)


def _soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
