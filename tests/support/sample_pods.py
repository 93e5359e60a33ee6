"""Small pods, their owners and a FactSource of any facts, for tests of the core."""

import copy
import json
from typing import Any

from webhook.admission.admission_review import decode, encode, review_of
from webhook.admit import admit
from webhook.decision_cache import DecisionCache
from webhook.driver import drive
from webhook.facts import Fact, FactSource, Lookup, Names, Resolved, Unknown
from webhook.offline.file_facts import FileFacts
from webhook.policy.decide import Decision, Webhook
from webhook.policy.workload import Link
from webhook.settings import Settings

GROUP = "operator.victoriametrics.com"
STRICT = {
    "privileged": False,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "runAsGroup": 65534,
}
"""Of a container of the operator, as recorded."""

LABELS = {"managed-by": "vm-operator", "app.kubernetes.io/name": "vmsingle"}


def settings(**environment: str) -> Settings:
    return Settings.from_environment(environment)


def owned_by(owner: dict[str, Any], *, controller: bool = True, uid: str | None = None) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": uid or owner["metadata"]["uid"],
            "controller": controller,
        }
    ]


def resource(kind: str, name: str = "db", spec: dict[str, Any] | None = None, owner: Any = None) -> dict[str, Any]:
    version = {"VMDistributed": "v1alpha1", "VLAgent": "v1", "VLCluster": "v1"}.get(kind, "v1beta1")
    metadata = {"name": name, "namespace": "mon", "uid": f"{kind}-{name}"}
    if owner:
        metadata["ownerReferences"] = owned_by(owner)  # type: ignore[assignment]
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, "spec": spec or {}}


def workload(kind: str, name: str, owner: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "mon", "uid": f"{kind}-{name}", "ownerReferences": owned_by(owner)}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata}


def pod(owner: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    meta = {"name": "db-0", "namespace": "mon", "labels": dict(LABELS), **metadata}
    if owner:
        meta["ownerReferences"] = owned_by(owner)
    default = {"containers": [{"name": "vmsingle"}], "securityContext": {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**default, **(spec or {})}}


def vmsingle(cr_spec: dict[str, Any] | None = None, pod_spec: dict[str, Any] | None = None, **metadata: Any):
    """A VMSingle, its StatefulSet-like owner chain, and its pod: `(pod, objects)`."""
    cr = resource("VMSingle", "db", cr_spec)
    deployment = workload("Deployment", "vmsingle-db", cr)
    replicas = workload("ReplicaSet", "vmsingle-db-1", deployment)
    return pod(replicas, pod_spec, **metadata), [cr, deployment, replicas]


def decide(thing: dict[str, Any], objects: list[dict[str, Any]] | None = None, **asked: Any) -> Decision:
    """The decision on one object."""
    return reviewed(thing, objects, **asked)[0]


def reviewed(
    thing: dict[str, Any],
    objects: list[dict[str, Any]] | None = None,
    *,
    webhook: Webhook = "mutate",
    minor: int = 30,
    source: Any = None,
    operation: str = "CREATE",
    review: dict[str, Any] | None = None,
    **environment: str,
) -> tuple[Decision, tuple[Link, ...]]:
    """The decision on one object, and the facts that were looked up."""
    name = thing["metadata"].get("name", "")
    body = review_of(thing, uid="u", namespace="mon", name=name, operation=operation)
    if review:
        whole = json.loads(body)
        whole["request"] |= review
        body = json.dumps(whole).encode()
    facts = source or FileFacts(objects or [], minor)
    decision, looked_up = admitted(body, facts, settings(**environment), webhook)
    encode(decode(body), allowed=decision.allowed, patch=decision.encoded_patch, annotations=decision.annotations)
    return decision, looked_up


def admitted(
    body: bytes, source: FactSource, mine: Settings, webhook: Webhook = "mutate", cache: DecisionCache | None = None
) -> tuple[Decision, tuple[Link, ...]]:
    """The decision on a review by a source that knows every answer at once, and the facts that it rests on."""
    minor, labels_suffice = source.minor, source.labels_suffice
    return drive(admit(decode(body), webhook, mine, minor=minor, labels_suffice=labels_suffice, cache=cache), source)


def patched(thing: dict[str, Any], decision: Decision) -> dict[str, Any]:
    import jsonpatch  # noqa: PLC0415
    import msgspec  # noqa: PLC0415

    done: dict[str, Any] = jsonpatch.apply_patch(copy.deepcopy(thing), msgspec.to_builtins(decision.patch))
    return done


class Answers:
    """A FactSource that answers `facts` by kind and leaves the rest to files."""

    labels_suffice = False

    def __init__(self, facts: dict[str, Fact], objects: list[dict[str, Any]], minor: int = 24) -> None:
        self.minor = minor
        self._facts = facts
        self._files = FileFacts(objects, minor)

    def cached(self, lookup: Lookup | Names) -> Resolved:
        known = self._facts.get(lookup.ref.kind) if isinstance(lookup, Lookup) else None
        return known or self._files.cached(lookup)

    async def get(self, lookup: Lookup | Names, deadline: float) -> Resolved:
        return self.cached(lookup)


UNREACHABLE = Unknown("HTTP 503 from the API server", "live")
