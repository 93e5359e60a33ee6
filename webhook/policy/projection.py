"""The part of a custom resource's spec that decisions on pods read: all that a cache of thousands of them must hold.

No field is listed here. Each reader declares the fields that it reads, and the projection of a kind follows from those
declarations and the component table. A decision on the projection is the decision on the whole. Pure.
"""

from collections.abc import Iterable
from typing import Any

from webhook.policy import posture, workload
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.conditions import EACH, Path, paths_of
from webhook.policy.parents import name_paths, spec_paths

Tree = dict[str, Any]
"""The fields that are read, by name, each with the tree of its own fields, or None for a field that is read whole."""


def project(kind: str, spec: Any) -> dict[str, Any]:
    """The part of a resource's spec that decisions read; {} of anything that is no object."""
    return _object(TREES.get(kind, {}), spec) if isinstance(spec, dict) else {}


def _object(tree: Tree, value: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for field, inner in tree.items():
        found = value.get(field)
        if inner is None and found is not None:
            result[field] = found
        elif isinstance(found, dict):
            result[field] = _object(inner, found)
        elif isinstance(found, list) and EACH in inner:
            result[field] = [_object(inner[EACH], each) if isinstance(each, dict) else _empty(each) for each in found]
        elif found is not None:
            result[field] = _empty(found)
    return result


def _empty(value: Any) -> Any:
    """The empty value of a value's JSON type: what a wrong type is reported by, however large the value is."""
    return None if value is None else type(value)()


def paths_of_kind(kind: str) -> tuple[Path, ...]:
    """Every field of a kind's spec that a decision on a pod reads."""
    components = BY_KIND.get(kind, ())
    paths: list[Path] = [(field,) for field in posture.ROOT_FIELDS] if components else []
    for component in components:
        part = component.path[1:]
        read = (*posture.paths_in(component), workload.VOLUME_NAMES, *workload.MOUNTS)
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
