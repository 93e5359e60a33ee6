"""The part of a custom resource's spec that decisions on pods read; a cache of thousands stores only this part.

This module lists no field. Each reader declares the fields that it reads, and these declarations and the component
table give the projection of a kind. The decision on the projection is the same as on the whole resource.

A resource has at most a megabyte and a half of JSON, but a tenant's resource can take fifty times as much memory. So a
long list keeps each different element once, and a projection has a weight. Pure.
"""

from collections.abc import Hashable, Iterable
from sys import getsizeof
from typing import Any

import msgspec

from webhook.policy import posture, workload
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.conditions import EACH, Path, paths_of
from webhook.policy.parents import name_paths, spec_paths

Tree = dict[str, Any]
"""The fields that are read, by name, each with the tree of its own fields, or None for a field that is read whole."""


LARGEST_CACHED = 256 * 1024
"""The most weight of a cached projection; those of recorded resources weigh less than 16 KiB."""

LARGEST_READ = 4 * 1024 * 1024
"""The most weight of a projection that a decision may read."""

_SHORT = 100
"""Most elements of a list that is read whole, so that an error names their index."""

_MOST_DIFFERENT = 20_000
"""Most different elements of a list that are read."""

_PER_ELEMENT = 128
"""The weight of a list's element beside its memory, because each one costs every reader time."""

_EMPTY: dict[str, Any] = {}

_encode = msgspec.json.Encoder().encode


class ResourceTooLargeError(ValueError):
    """A spec has more data than decisions may read; the text names it."""


def project(kind: str, spec: Any) -> dict[str, Any]:
    """The part of a resource's spec that decisions read; {} of anything that is no object.

    Of a list of more than 100 elements only different ones are in it, in their order.

    Raises:
        ResourceTooLargeError: a list has more different elements than decisions may read.

    """
    return _object(TREES.get(kind, {}), spec) if isinstance(spec, dict) else {}


def weight(value: Any, most: int = LARGEST_READ) -> int:
    """The weight of a JSON value: about its bytes of memory, and more for each element of a list.

    Counting ends when it is more than `most`.
    """
    total, waiting = 0, [value]
    while waiting and total <= most:
        each = waiting.pop()
        total += getsizeof(each)
        if isinstance(each, dict):
            waiting += each
            waiting += each.values()
        elif isinstance(each, list):
            total += _PER_ELEMENT * len(each)
            waiting += each
    return min(total, most + 1)


def _object(tree: Tree, value: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for field, inner in tree.items():
        found = value.get(field)
        if inner is None and found is not None:
            result[field] = found
        elif isinstance(found, dict):
            result[field] = _object(inner, found)
        elif isinstance(found, list) and EACH in inner:
            result[field] = _list(inner[EACH], found)
        elif found is not None:
            result[field] = _empty(found)
    return result


def _list(tree: Tree, found: list[Any]) -> list[Any]:
    if len(found) <= _SHORT:
        return [_element(tree, each) for each in found]
    different: dict[Hashable, Any] = {}
    for each in found:
        element = _element(tree, each)
        different.setdefault(_key(element), element)
        if len(different) > _MOST_DIFFERENT:
            raise ResourceTooLargeError(
                f"vmguard reads at most {_MOST_DIFFERENT} different elements of a list, and one with {len(found)} has "
                "more"
            )
    return list(different.values())


def _element(tree: Tree, value: Any) -> Any:
    if isinstance(value, dict):
        return _object(tree, value) if value else _EMPTY
    return _empty(value)


def _key(element: Any) -> Hashable:
    """What two elements share exactly if they are the same JSON."""
    if not element and isinstance(element, dict):
        return None
    if isinstance(element, dict) and len(element) == 1:
        ((field, value),) = element.items()
        if isinstance(value, str):
            return field, value
    try:
        return _encode(element)
    except (OverflowError, UnicodeEncodeError):  # an integer of more than 64 bits, half of a character
        return repr(element)


def _empty(value: Any) -> Any:
    """The empty value of a value's JSON type: what a wrong type is reported by, however large the value is."""
    return None if value is None else type(value)()


def paths_of_kind(kind: str) -> tuple[Path, ...]:
    """Every field of a kind's spec that a decision on a pod reads."""
    components = BY_KIND.get(kind, ())
    paths: list[Path] = [(field,) for field in posture.ROOT_FIELDS] if components else []
    for component in components:
        part = component.path[1:]
        read = (*posture.paths_in(component), *workload.fields_in(component))
        paths += [(*part, *path) for path in read]
        paths += paths_of([component.enabled])
    if components:
        paths.append(workload.ACCOUNT)
    for child in PARENTS.get(kind, {}).values():
        paths += name_paths(child)
        parts = {(), *(component.path[1:] for component in BY_KIND[child.kind])}
        fields = [(*part, field) for part in parts for field in posture.LAYER_FIELDS]
        paths += [(*place, *path) for place in spec_paths(child) for path in fields]
    return tuple(paths)


def written_paths_of_kind(kind: str) -> tuple[Path, ...]:
    """The same, with every field in a parent that decides about the pods of its children."""
    paths = [*paths_of_kind(kind)]
    for child in PARENTS.get(kind, {}).values():
        paths += [(*place, *path) for place in spec_paths(child) for path in paths_of_kind(child.kind)]
    return tuple(dict.fromkeys(paths))


def _tree(paths: Iterable[Path]) -> Tree:
    root: Tree = {}
    for path in sorted(paths, key=len):
        *outer, last = path
        node: Tree | None = root
        for field in outer:
            node = None if node is None else node.setdefault(field, {})
        if node is not None:  # else a shorter path reads it whole
            node.setdefault(last, None)
    return root


TREES: dict[str, Tree] = {kind: _tree(paths_of_kind(kind)) for kind in (*BY_KIND, *PARENTS)}
"""Of what a cache keeps of a kind's spec, and a decision on a pod reads."""

WRITTEN_TREES: dict[str, Tree] = {kind: _tree(written_paths_of_kind(kind)) for kind in TREES}
"""Of what a decision on the resource itself reads."""
