"""The owner of a pod.

The chain of controllers leads to it: pod, workload, custom resource, its parents. Labels count only if nothing else is
known.

An owner must be the controller and have a UID. Its group and kind may control such an object, and its name is a DNS
subdomain. The found object has the UID of the reference. The API server stores no owner reference without a UID. If the
chain ends elsewhere, the pod is unmanaged. If it leads to a kind or component of the operator's group without a row in
the tables, the pod is of an unknown kind. The same is true for a resource at a place where no known operator puts it,
such as a VMSingle that controls a ReplicaSet. vmguard never guesses an unknown chain.

No operator up to v0.76 makes Jobs. So vmguard does not look up the owners of a Job, and its pods are unmanaged.
"""

from functools import lru_cache
from typing import Any, Literal

import msgspec

from webhook.facts import Absent, Fact, Found, NotServed, Ref, Unknown
from webhook.name_forms import LONGEST_LABEL, LONGEST_NAME, is_namespace, is_subdomain
from webhook.objects import Metadata, OwnerReference
from webhook.policy.components import BY_KIND, BY_LABEL, PARENTS, Component, component_of
from webhook.policy.conditions import EACH, Path, text_at, value_at
from webhook.policy.custom_resources import GROUP
from webhook.policy.json_access import object_of, objects_of, texts_of
from webhook.policy.parents import Layers, layers_of_child
from webhook.policy.token_volume import is_token_path
from webhook.text import one_line

MANAGED_BY = ("managed-by", "vm-operator")
"""The label of every object that the operator makes; anyone can write it."""

_RESOURCES = frozenset((GROUP, kind) for kind in BY_KIND)
_PARENTS = frozenset((GROUP, kind) for kind in PARENTS)

_OF_OPERATOR = _RESOURCES | _PARENTS

OWNERS: dict[str, frozenset[tuple[str, str]]] = {
    "Pod": frozenset({("apps", "ReplicaSet"), ("apps", "StatefulSet"), ("apps", "DaemonSet")}) | _OF_OPERATOR,
    "ReplicaSet": frozenset({("apps", "Deployment")}) | _OF_OPERATOR,
    "Deployment": _OF_OPERATOR,
    "StatefulSet": _OF_OPERATOR,
    "DaemonSet": _OF_OPERATOR,
    **dict.fromkeys(BY_KIND, _PARENTS),
}
"""Group and kind of the controllers that are looked up for an object of a kind."""

_PLACES = frozenset(
    [(workload, kind) for workload in ("Deployment", "StatefulSet", "DaemonSet") for kind in BY_KIND]
    + [(kind, parent) for kind in BY_KIND for parent in PARENTS]
)
"""Pairs of a kind and the kind of the operator that may control it."""

_VOLUME_NAMES: Path = ("volumes", EACH, "name")
_ANNOTATIONS: Path = ("podMetadata", "annotations")
_CONTEXT = "securityContext"
_LISTS = ("containers", "initContainers")

ACCOUNT: Path = ("serviceAccountName",)
"""The field of a resource's root that `account_of` reads."""

_LONGEST_OWNER = 300
"""Most characters of an owner's kind and name in a message; both are a tenant's text."""

_LONGEST_API_VERSION = LONGEST_NAME + 1 + LONGEST_LABEL


class Link(msgspec.Struct, frozen=True, gc=False):
    """One owner of the chain: what was looked up, and the fact."""

    ref: Ref
    fact: Fact


class Parentage(msgspec.Struct, frozen=True):
    """The parent of a custom resource and its settings for the resource; `layers` is None without a parent.

    The operator writes its own defaults into the children of a parent. So with a parent, the child's own settings do
    not count (seen in v0.74). `note` is for a person, "" for nothing.
    """

    parent: Ref | None = None
    layers: Layers | None = None
    note: str = ""


class Workload(msgspec.Struct, frozen=True):
    """A pod of a custom resource. `workload` is the kind that runs it, "" when only labels are known."""

    kind: str
    namespace: str
    name: str
    component: Component
    workload: str
    spec: dict[str, Any]
    source: Literal["chain", "labels"] = "chain"
    parentage: Parentage = Parentage()

    @property
    def note(self) -> str:
        """A note for a person on how the owner was found, "" for none."""
        if self.source == "labels":
            return "judged by its labels and the defaults, as no owner was given: a custom resource may say otherwise"
        return self.parentage.note

    @property
    def in_daemonset(self) -> bool:
        return self.workload == "DaemonSet"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Unmanaged(msgspec.Struct, frozen=True):
    """No pod of the operator; `reason` is where the chain ended. `labelled` is whether it has the operator's labels."""

    reason: str
    labelled: bool


class UnknownOwner(msgspec.Struct, frozen=True):
    """The chain or the custom resource could not be known; `reason` is for a person."""

    reason: str


class UnknownKind(msgspec.Struct, frozen=True):
    """The chain leads to a kind or a component of the operator's group that the tables do not have at that place.

    `kind` is the owner's kind; `owner` names the owner for a person, such as `VMFoo mon/db`.
    """

    kind: str
    owner: str


Identity = Workload | Unmanaged | UnknownOwner | UnknownKind


@lru_cache(4096)
def cached_owner_of(kind: str, metadata: Metadata, namespace: str) -> Ref | None:
    """The same as `owner_of`, for a cached object, which is the same Python object each time."""
    return owner_of(kind, metadata, namespace)


def owner_of(kind: str, metadata: Metadata, namespace: str) -> Ref | None:
    """The controller of an object, if the chain may continue with it, else None."""
    owner = _controller(metadata)
    if owner is None or len(namespace) > LONGEST_LABEL or not _fits(owner):
        return None
    return _allowed_owner(kind, owner, namespace)


def bounded_controller(metadata: Metadata) -> OwnerReference | None:
    """The controller of an object, for a cache: its texts have a bounded length.

    The API server does not limit the texts of an owner reference. A text that is longer than any name is cut, and stays
    too long. The chain does not continue with such an owner, but an unknown kind is still recognised.
    """
    owner = _controller(metadata)
    if owner is None or _fits(owner):
        return owner
    return OwnerReference(
        api_version=owner.api_version[: _LONGEST_API_VERSION + 1],
        kind=owner.kind[: LONGEST_LABEL + 1],
        name=owner.name[: LONGEST_NAME + 1],
        uid=owner.uid[: LONGEST_NAME + 1],
        controller=True,
    )


def _controller(metadata: Metadata) -> OwnerReference | None:
    """The first owner with `controller: true`, None without one or if it has no UID."""
    for owner in metadata.owner_references or ():
        if owner.controller is True:
            return owner if owner.uid else None
    return None


def _fits(owner: OwnerReference) -> bool:
    """Whether no text of a reference is longer than those of an object that can exist."""
    return (
        len(owner.name) <= LONGEST_NAME
        and len(owner.uid) <= LONGEST_NAME
        and len(owner.kind) <= LONGEST_LABEL
        and len(owner.api_version) <= _LONGEST_API_VERSION
    )


@lru_cache(4096)
def _allowed_owner(kind: str, owner: OwnerReference, namespace: str) -> Ref | None:
    """The owner as a reference. Its texts have a limited length already, so the cache is limited, too."""
    if (owner.group, owner.kind) not in OWNERS.get(kind, ()) or not is_subdomain(owner.name):
        return None
    if namespace and not is_namespace(namespace):
        return None
    return Ref(owner.group, owner.version, owner.kind, namespace, owner.name, owner.uid)


def wears_labels(pod: Metadata) -> bool:
    """Whether the pod has the operator's labels."""
    return (pod.labels or {}).get(MANAGED_BY[0]) == MANAGED_BY[1]


def identify(pod: Metadata, chain: tuple[Link, ...]) -> Identity:
    """The owner of a pod by its chain, from the pod's owner up to the first fact that is not Found."""
    workload_kind = workload_name = label = ""
    resource: tuple[Ref, dict[str, Any]] | None = None
    for link in chain:
        ref, fact = link.ref, link.fact
        if type(fact) is Unknown:
            return UnknownOwner(f"{ref} could not be read: {fact.reason}")
        if type(fact) is not Found:
            break
        if ref.group != GROUP:
            workload_kind, workload_name = ref.kind, ref.name
            label = (fact.object.metadata.labels or {}).get("app.kubernetes.io/name") or ""
        elif resource is None:
            resource = ref, fact.object.spec or {}
    unknown = unknown_kind_above("Pod", pod, chain)
    if unknown:
        return unknown
    if resource is None:
        return Unmanaged(_where_it_ended(chain), wears_labels(pod))
    ref, spec = resource
    component = component_of(ref.kind, ref.name, workload_name, label)
    if component is None:
        workload = one_line(f"{workload_kind} {ref.namespace}/{workload_name}", _LONGEST_OWNER)
        return UnknownKind(ref.kind, f"{workload}, which is no known component of {ref}")
    return Workload(
        kind=ref.kind,
        namespace=ref.namespace,
        name=ref.name,
        component=component,
        workload=workload_kind,
        spec=spec,
        parentage=parentage_of(chain, ref.kind, ref.name),
    )


def unknown_kind_above(controlled: str, metadata: Metadata, chain: tuple[Link, ...]) -> UnknownKind | None:
    """The kind of the operator's group in a chain without a row or a place in the tables; None for none.

    The chain is that of an object of the kind `controlled` with this metadata.
    """
    last = metadata
    for link in chain:
        if type(link.fact) is not Found:
            return None
        if link.ref.group == GROUP and (controlled, link.ref.kind) not in _PLACES:
            named = f"{link.ref}, the controller of a {controlled}"
            return UnknownKind(link.ref.kind, one_line(named, _LONGEST_OWNER))
        controlled, last = link.ref.kind, link.fact.object.metadata
    owner = _controller(last)
    if owner is None or owner.group != GROUP or owner.kind in BY_KIND or owner.kind in PARENTS:
        return None
    namespace = chain[-1].ref.namespace if chain else metadata.namespace
    place = f"{namespace}/" if namespace else ""
    named = one_line(f"{owner.kind} {place}{owner.name}", _LONGEST_OWNER)
    return UnknownKind(one_line(owner.kind, LONGEST_LABEL), named)


def unknown_resource_of(chain: tuple[Link, ...]) -> Ref | None:
    """The controller of the last object of a chain, if it is of the operator's group; None if it cannot exist."""
    if not chain or type(chain[-1].fact) is not Found:
        return None
    owner = _controller(chain[-1].fact.object.metadata)
    if owner is None or owner.group != GROUP or not _fits(owner) or not is_subdomain(owner.name):
        return None
    return Ref(GROUP, owner.version, owner.kind, chain[-1].ref.namespace, owner.name, owner.uid)


def parentage_of(chain: tuple[Link, ...], kind: str, name: str) -> Parentage:
    """The parent at the end of the chain of a resource, and its settings for the resource of that kind and name."""
    if not chain or chain[-1].ref.kind not in PARENTS:
        return Parentage()
    ref, fact = chain[-1].ref, chain[-1].fact
    if type(fact) is Found:
        return Parentage(ref, layers_of_child(ref, fact.object.spec or {}, kind, name))
    gone = "is not among the objects given" if fact.source == "file" else "does not exist"
    if type(fact) is Unknown:
        gone = f"could not be read: {fact.reason}"
    return Parentage(None, (), f"its parent {ref} {gone}; where the parent's setting would count, the default does")


def identify_by_labels(pod: Metadata, namespace: str) -> Workload | Unmanaged:
    """The likely owner of a pod by its labels only, if no owner can be looked up."""
    labels = pod.labels or {}
    component = BY_LABEL.get(labels.get("app.kubernetes.io/name") or "")
    if not wears_labels(pod) or component is None:
        return Unmanaged("its labels name no component of the operator", labelled=False)
    owners = pod.owner_references or ()
    workload = next((owner.kind for owner in owners if owner.controller), "")
    name = labels.get("app.kubernetes.io/instance") or ""
    return Workload(component.kind, namespace, name, component, workload, {}, source="labels")


def _where_it_ended(chain: tuple[Link, ...]) -> str:
    if not chain:
        return "it has no controller that leads to a resource of the operator"
    ref, fact = chain[-1].ref, chain[-1].fact
    if type(fact) is NotServed:
        return f"the cluster serves no {ref.kind}"
    if type(fact) is Absent:
        gone = "is not among the objects given" if fact.source == "file" else "does not exist"
        return f"its owner {ref} {gone}{' with the UID that the pod names' if ref.uid else ''}"
    return f"{ref} has no controller that is a resource of the operator"


def account_of(spec: dict[str, Any]) -> str:
    """The ServiceAccount that a resource names for its pods, "" for none: then the operator makes one."""
    return text_at(spec, ACCOUNT)


def fields_in(component: Component) -> tuple[Path, ...]:
    """The fields of a component's part that the functions below read."""
    settings = (each.settings for each in component.beside if each.mounts_data)
    holders: list[Path] = [(), *dict.fromkeys(settings), *((group, EACH) for group in _LISTS)]
    mounts = ((*holder, "volumeMounts", EACH, field) for holder in holders for field in ("name", "mountPath"))
    containers = ((group, EACH, field) for group in _LISTS for field in ("name", _CONTEXT))
    return (_VOLUME_NAMES, _ANNOTATIONS, *containers, *mounts)


def user_volumes(workload: Workload) -> frozenset[str]:
    """Names of the volumes in a workload's resource."""
    volumes, _, name = _VOLUME_NAMES
    return texts_of(objects_of(workload.component.part_of(workload.spec).get(volumes)), name)


def user_containers(workload: Workload) -> dict[str, dict[str, Any]] | None:
    """The securityContext of each container and init container in a workload's resource by name, {} for none.

    A container with the name of the operator's is a patch of it. None if only labels are known.
    """
    if workload.source == "labels":
        return None
    part = workload.component.part_of(workload.spec)
    containers = (each for group in _LISTS for each in objects_of(part.get(group)))
    return {text_at(each, ("name",)): object_of(each.get(_CONTEXT)) for each in containers}


def user_annotations(workload: Workload) -> dict[str, Any]:
    """The annotations that a workload's resource gives its pods."""
    return object_of(value_at(workload.component.part_of(workload.spec), _ANNOTATIONS))


def user_mounts(workload: Workload) -> frozenset[tuple[str, str]]:
    """The mounts at the token path in a workload's resource: the names of container and volume.

    The mounts of the component's part are those of its main container, and of the containers that also mount its data.
    """
    component = workload.component
    part = component.part_of(workload.spec)
    holders = [(component.main, part)]
    for row in component.beside:
        if row.mounts_data:
            holders += [(row.name, part), (row.name, object_of(value_at(part, row.settings)))]
    holders += [(text_at(each, ("name",)), each) for group in _LISTS for each in objects_of(part.get(group))]
    return frozenset(
        (container, text_at(mount, ("name",)))
        for container, holder in holders
        for mount in objects_of(holder.get("volumeMounts"))
        if is_token_path(text_at(mount, ("mountPath",)))
    )
