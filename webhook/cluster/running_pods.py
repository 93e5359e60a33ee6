"""The running pods that may be the operator's, page by page, without caching them.

It lists pods with the operator's label whole. A pod without the label can also be the operator's, because owners count
and labels do not. So of all other pods it lists the metadata, and reads a pod if `is_owner` accepts its controller. To
list all pods whole would cost several times as much, and to watch them would cost memory for each. Both lists need only
the permission to list pods. This module judges nothing.

The caller may need more time than the API server stores the position of a list (5 minutes). Then this module lists the
whole pods again and skips those that it has returned. It lists the metadata to its end first.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from urllib.parse import quote

import msgspec

from webhook.cluster.client import Client
from webhook.cluster.collections import PODS
from webhook.cluster.listing import ExpiredError, pages
from webhook.facts import Ref
from webhook.objects import Metadata
from webhook.policy.workload import MANAGED_BY, owner_of

_RUNNING = "status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"
_LABEL, _OPERATOR = MANAGED_BY

_OTHERS = msgspec.structs.replace(PODS, metadata_only=True)


class _Meta(Metadata, frozen=True, rename="camel"):
    deletion_timestamp: str | None = None


class Listed(msgspec.Struct, frozen=True):
    """A pod of a list, with the fields that the survey reads before it judges the pod."""

    metadata: _Meta = _Meta()

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace or "", self.metadata.name or ""


_listed = msgspec.json.Decoder(Listed)


async def running(
    client: Client, namespaces: Iterable[str], is_owner: Callable[[Ref], bool], selector: str = ""
) -> AsyncIterator[tuple[Listed, msgspec.Raw]]:
    """Each pod once, unless it is finished or being deleted, with its JSON; `is_owner` knows the operator's owners.

    `selector` is a label selector that pods must match too, "" for none.

    Raises:
        NotAllowedError, ExpiredError, UnreachableError, msgspec.DecodeError: as `pages`.

    """
    for namespace in namespaces:
        seen: set[str | None] = set()
        further = f"%2C{quote(selector, safe='')}" if selector else ""
        async for pod, raw in _labelled(client, namespace, seen, further):
            yield pod, raw
        without: list[Listed] = []
        others = f"labelSelector={_LABEL}%21%3D{_OPERATOR}{further}&fieldSelector={_RUNNING}"
        async for page in pages(client, _OTHERS, namespace, others):
            for other, _ in _alive(page.items):
                owner = owner_of("Pod", other.metadata, other.place[0])
                if owner is not None and other.metadata.uid not in seen and is_owner(owner):
                    without.append(other)
        for other in without:
            name = f"fieldSelector=metadata.name%3D{other.place[1]}"
            async for found in pages(client, PODS, other.place[0], name):
                for pod, raw in _alive(found.items):
                    yield pod, raw


OTHERS = f"labelSelector={_LABEL}%21%3D{_OPERATOR}&fieldSelector={_RUNNING}"
"""The query for running pods without the operator's label."""


async def _labelled(
    client: Client, namespace: str, seen: set[str | None], further: str
) -> AsyncIterator[tuple[Listed, msgspec.Raw]]:
    """Each pod with the label; it adds the UID to `seen`. `further` is the rest of the selector."""
    query = f"labelSelector={_LABEL}%3D{_OPERATOR}{further}&fieldSelector={_RUNNING}"
    before = -1
    while before < len(seen):  # as long as each attempt gets further
        before = len(seen)
        try:
            async for page in pages(client, PODS, namespace, query):
                for pod, raw in _alive(page.items):
                    if pod.metadata.uid not in seen:
                        seen.add(pod.metadata.uid)
                        yield pod, raw
        except ExpiredError:
            continue
        return
    raise ExpiredError("pods cannot be listed to the end before the API server forgets where to go on")


def _alive(items: list[msgspec.Raw] | None) -> Iterable[tuple[Listed, msgspec.Raw]]:
    for raw in items or ():
        pod = _listed.decode(raw)
        if pod.metadata.deletion_timestamp is None:
            yield pod, raw
