"""The running pods that may be the operator's, page by page, with nothing kept of them.

Pods with the operator's label are listed whole. A pod can lose its label, or never have worn it, and be the operator's
all the same, as owners count and labels do not; so of all other pods the metadata is listed, and those whose owner is
known to be the operator's are read. Whole pods of everybody would be several times that, and watching them memory for
each. Both lists need no permission but to list pods. It judges nothing.
"""

from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from webhook.cluster.client import Client
from webhook.cluster.listing import pages
from webhook.cluster.resources import PODS
from webhook.facts import Ref
from webhook.objects import Metadata
from webhook.policy.workload import MANAGED_BY, owner_of

_RUNNING = "status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"
_LABEL, _OPERATOR = MANAGED_BY

_OTHERS = msgspec.structs.replace(PODS, metadata_only=True)


class _Meta(Metadata, frozen=True, rename="camel"):
    deletion_timestamp: str | None = None


class Listed(msgspec.Struct, frozen=True):
    """A pod of a list, as far as it is looked at before it is judged."""

    metadata: _Meta = _Meta()

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace or "", self.metadata.name or ""


_listed = msgspec.json.Decoder(Listed)


async def running(
    client: Client, namespaces: Iterable[str], is_owner: Callable[[Ref], bool]
) -> AsyncIterator[tuple[Listed, msgspec.Raw]]:
    """Each pod once that is neither finished nor being deleted, with its JSON; `is_owner` knows the operator's owners.

    Raises:
        NotAllowedError, ExpiredError, UnreachableError, msgspec.DecodeError: as `pages`.

    """
    for namespace in namespaces:
        seen: set[str | None] = set()
        labelled = f"labelSelector={_LABEL}%3D{_OPERATOR}&fieldSelector={_RUNNING}"
        async for page in pages(client, PODS, namespace, labelled):
            for pod, raw in _alive(page.items):
                seen.add(pod.metadata.uid)
                yield pod, raw
        others = f"labelSelector={_LABEL}%21%3D{_OPERATOR}&fieldSelector={_RUNNING}"
        async for page in pages(client, _OTHERS, namespace, others):
            for other, _ in _alive(page.items):
                owner = owner_of("Pod", other.metadata, other.place[0])
                if owner is None or other.metadata.uid in seen or not is_owner(owner):
                    continue
                name = f"fieldSelector=metadata.name%3D{other.place[1]}"
                async for found in pages(client, PODS, other.place[0], name):
                    for pod, raw in _alive(found.items):
                        yield pod, raw


def _alive(items: list[msgspec.Raw] | None) -> Iterable[tuple[Listed, msgspec.Raw]]:
    for raw in items or ():
        pod = _listed.decode(raw)
        if pod.metadata.deletion_timestamp is None:
            yield pod, raw
