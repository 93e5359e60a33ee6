"""Sorts the objects from a person: inputs for decisions, and facts.

Every Pod, resource of the operator and AdmissionReview is an input. Resources of the operator are also facts, and every
other kind is only a fact. A List counts as its items. For a bare object, the review is that of its creation.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha1
from typing import Any
from uuid import NAMESPACE_OID, UUID

import msgspec

from webhook.admission.admission_review import review_of
from webhook.offline.file_facts import ObjectError, known_object
from webhook.policy.custom_resources import is_meant
from webhook.policy.workload import OWNERS
from webhook.text import one_line, quoted

_OWNERS = frozenset(owner for owners in OWNERS.values() for owner in owners)

_NAMES = ("name", "generateName", "namespace")
"""Of metadata; a name never has braces."""


class InputError(ValueError):
    """An unusable input; the text states what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input for a decision: the AdmissionReview's bytes, its object, and its place."""

    review: bytes
    object: dict[str, Any]
    place: str
    namespace: str = "default"

    @property
    def kind(self) -> str:
        return str(self.object.get("kind") or "")

    @property
    def title(self) -> str:
        """Kind, namespace and name, and its place."""
        return f"{self.name}  ({self.place})"

    @property
    def name(self) -> str:
        """Kind, namespace and name."""
        metadata = self.object.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        name = metadata.get("name") or f"{metadata.get('generateName') or ''}*"
        return one_line(f"{self.kind} {self.namespace}/{name}", 300)


@dataclass(frozen=True, slots=True)
class Sorted:
    """Inputs in their order, and facts in theirs."""

    inputs: tuple[Input, ...]
    facts: tuple[dict[str, Any], ...]

    @property
    def has_owners(self) -> bool:
        """Whether a fact is of a kind that owns pods or their owners, so that a chain can be found."""
        return any((_group(fact), fact["kind"]) in _OWNERS for fact in self.facts)


def _refuse(text: str) -> None:
    raise InputError(text)


def sort_documents(documents: Iterable[tuple[str, Any]], unusable: Callable[[str], None] = _refuse) -> Sorted:
    """Sort `(place, value)` documents; `unusable` is called for each that is no Kubernetes object, and may return.

    Raises:
        InputError: by the default of `unusable`.

    """
    inputs: list[Input] = []
    facts: list[dict[str, Any]] = []
    for place, thing in objects_in(documents, _problem, unusable):
        kind, group = thing["kind"], _group(thing)
        if kind == "AdmissionReview":
            if isinstance(thing.get("request"), dict):
                inputs.append(_reviewed(place, thing))
            else:
                unusable(f"{place}: AdmissionReview has no request")
            continue
        ours = is_meant(str(thing.get("apiVersion")), kind)
        if ours or (kind == "Pod" and group == ""):
            inputs.append(_bare(place, thing))
        if ours or kind != "Pod":
            facts.append(thing)
    return Sorted(tuple(inputs), tuple(facts))


def facts_only(
    documents: Iterable[tuple[str, Any]], unusable: Callable[[str], None] = _refuse
) -> tuple[dict[str, Any], ...]:
    """The objects of documents that are only facts; `unusable` as in `sort_documents`.

    Raises:
        InputError: by the default of `unusable`.

    """
    return tuple(thing for _, thing in objects_in(documents, _problem, unusable))


def objects_in(
    documents: Iterable[tuple[str, Any]], problem_of: Callable[[Any], str], unusable: Callable[[str], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of `(place, value)` documents with their places; a List counts as its items.

    `problem_of` returns why a value is no object, "" if it is; then it has a `kind` and an `apiVersion`. `unusable`
    gets the place and the problem of each value that is no object, and may return.
    """
    for place, value in documents:
        problem = problem_of(value)
        if problem:
            unusable(f"{place}: {problem}" if place else problem)
        elif value["kind"].endswith("List") and isinstance(value.get("items"), list):
            items = (
                (f"{place} items[{index}]".strip(), typed(item, value["kind"], value["apiVersion"]))
                for index, item in enumerate(value["items"])
            )
            yield from objects_in(items, problem_of, unusable)
        else:
            yield place, value


def _problem(value: Any) -> str:
    """Why a value is no Kubernetes object, "" if it is."""
    problem = untyped(value)
    if problem:
        return problem
    metadata = value.get("metadata", {})
    if not isinstance(metadata, dict):
        return f"{value['kind'][:60]} has metadata that is not an object"
    named = {"kind": value["kind"], **{f"metadata.{field}": metadata.get(field) for field in _NAMES}}
    for field, text in named.items():
        if isinstance(text, str) and "{{" in text:
            return f"{field} is {quoted(text)}: a Helm template that is not rendered"
    if value["kind"] in {"Pod", "AdmissionReview"}:
        return ""
    try:
        known_object(value)
    except ObjectError as error:
        return str(error)
    return ""


def untyped(value: Any) -> str:
    """Why a value does not have the kind and the apiVersion of a Kubernetes object, "" if it has."""
    if isinstance(value, list):
        return "a list is no Kubernetes object: write the objects one after another, or as items of a List"
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return "not a Kubernetes object: it has no kind"
    return "" if isinstance(value.get("apiVersion"), str) else f"{value['kind'][:60]} has no apiVersion"


def typed(item: Any, list_kind: str, api_version: str) -> Any:
    """An item of a typed list (a PodList of the raw API) with the kind from the list."""
    kind = list_kind.removesuffix("List")
    if not kind or not isinstance(item, dict) or "kind" in item:
        return item
    return {"apiVersion": api_version, "kind": kind, **item}


def _bare(place: str, thing: dict[str, Any]) -> Input:
    metadata = thing.get("metadata") or {}
    namespace, name = metadata.get("namespace") or "default", metadata.get("name") or ""
    uid = UUID(bytes=sha1(NAMESPACE_OID.bytes + msgspec.json.encode(thing)).digest()[:16], version=5)  # noqa: S324 - what UUIDv5 is
    review = review_of(thing, uid=str(uid), namespace=str(namespace), name=str(name))
    return Input(review, thing, place, str(namespace))


def _reviewed(place: str, thing: dict[str, Any]) -> Input:
    request = thing["request"]
    found = request.get("object")
    return Input(
        msgspec.json.encode(thing),
        found if isinstance(found, dict) else {},
        place,
        str(request.get("namespace") or "default"),
    )


def _group(thing: dict[str, Any]) -> str:
    group: str = thing["apiVersion"].rpartition("/")[0]
    return group
