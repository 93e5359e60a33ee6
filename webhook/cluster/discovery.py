"""What the cluster serves: its version, the operator's kinds with their versions, and other APIs that judge pods.

The other APIs are PodSecurityPolicies and the security context constraints of OpenShift. Every authenticated account
may use discovery, so it works with a Role only. The answer is cached until the next discovery. The caller of `learn`
notices a definition that appears, changes its version or disappears.
"""

import asyncio
import re
from collections.abc import Callable

import msgspec

from webhook.cluster.backoff import Backoff
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import JSON, JUDGED, PSP, Collection
from webhook.cluster.permission import Permissions
from webhook.cluster.status import reason
from webhook.facts import NEWEST_MINOR, parse_kubernetes_version
from webhook.policy.custom_resources import BY_KIND, GROUP
from webhook.telemetry.log import Log

CONSTRAINTS_GROUP = "security.openshift.io"
"""The group of OpenShift's SecurityContextConstraints, whose admission plugin refuses pods with a foreign user."""

_SECONDS = 5.0
"""For one answer."""


class _ServerVersion(msgspec.Struct, rename="camel"):
    git_version: str = ""
    major: str = ""
    minor: str = ""


class _GroupVersion(msgspec.Struct):
    version: str = ""


class _Group(msgspec.Struct, rename="camel"):
    versions: list[_GroupVersion] | None = None
    preferred_version: _GroupVersion | None = None


class _Served(msgspec.Struct):
    name: str = ""
    kind: str = ""


class _Resources(msgspec.Struct):
    resources: list[_Served] | None = None


_version = msgspec.json.Decoder(_ServerVersion)
_group = msgspec.json.Decoder(_Group)
_resources = msgspec.json.Decoder(_Resources)


class Discovery:
    """The APIs that one cluster serves.

    `trouble` is why they are not known, "" when they are. `served_kinds` are all kinds of the operator's group.
    `versions` has the kinds that decisions read. `unknown_kinds` are missing in the table of custom resources.
    `serves_constraints` is whether this is OpenShift. `permissions` are those that the API server refused. It calls
    `on_learnt` after each complete discovery.
    """

    def __init__(self, client: Client, log: Log) -> None:
        self._client = client
        self._log = log
        self._minor: int | None = None
        self.versions: dict[str, str] = {}
        self.serves_policies: bool | None = None
        self.served_kinds: frozenset[str] = frozenset()
        self.unknown_kinds: tuple[str, ...] = ()
        self.serves_constraints = False
        self.on_learnt: Callable[[], None] = lambda: None
        self.trouble = "not reached yet"
        self.permissions = Permissions(log, client.advise)

    @property
    def minor(self) -> int:
        """The cluster's 1.x minor version; before discovery, the newest known one."""
        return NEWEST_MINOR if self._minor is None else self._minor

    async def learn(self) -> None:
        """Try until everything is known; it logs each failure and waits before the next attempt."""
        backoff = Backoff()
        while True:
            self.trouble = await self.learn_once()
            if not self.trouble:
                self.on_learnt()
                return
            seconds = backoff.after()
            self._log.write("warning", "cluster not reached", reason=self.trouble, seconds=round(seconds, 1))
            await asyncio.sleep(seconds)

    async def learn_once(self) -> str:
        """Read everything once; the reason if that fails, else ""."""
        try:
            said = _version.decode(await self._get("/version") or b"{}")
            minor = _minor(said)
            policies = await self._get(PSP.root)
            constraints = await self._get(f"/apis/{CONSTRAINTS_GROUP}")
            versions = await self._versions(GROUP)
        except UnreachableError as error:
            return str(error)
        except ValueError as error:
            return f"what the API server says of itself cannot be read: {error}"
        self._minor, self.versions = minor, {kind: each for kind, each in versions.items() if kind in JUDGED}
        self.served_kinds = frozenset(versions)
        self.unknown_kinds = tuple(sorted(kind for kind in versions if kind not in BY_KIND))
        served = (_resources.decode(policies).resources or ()) if policies else ()
        self.serves_constraints = constraints is not None
        self.serves_policies = any(each.name == PSP.plural for each in served)
        return ""

    async def served_version(self, collection: Collection) -> str:
        """The preferred version of a resource, "" if it is not served.

        Raises:
            UnreachableError: the API server does not answer.
            msgspec.DecodeError: its answer cannot be read.

        """
        return (await self._versions(collection.group)).get(collection.kind, "")

    async def _versions(self, name: str) -> dict[str, str]:
        """The preferred version of each served kind of a group."""
        group = await self._get(f"/apis/{name}")
        if group is None:
            return {}
        said = _group.decode(group)
        preferred = said.preferred_version.version if said.preferred_version else ""
        found: dict[str, str] = {}
        for version in dict.fromkeys((preferred, *(each.version for each in said.versions or ()))):
            resources = await self._get(f"/apis/{name}/{version}") if version else None
            for each in (_resources.decode(resources).resources or ()) if resources else ():
                if "/" not in each.name:
                    found.setdefault(each.kind, version)
        return found

    async def _get(self, path: str) -> bytes | None:
        """The body, None if there is nothing."""
        status, body = await self._client.get(path, JSON, asyncio.get_running_loop().time() + _SECONDS)
        if status == 404:
            return None
        if status != 200:
            raise UnreachableError(reason(status, body))
        return body


def _minor(said: _ServerVersion) -> int:
    digits = re.match(r"[0-9]+", said.minor)
    if said.major == "1" and digits:
        return int(digits[0])
    return parse_kubernetes_version(said.git_version)
