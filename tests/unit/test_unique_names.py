"""A name means one thing: no two modules, no two public classes, no two types of the product share one."""

import ast
import re
from collections import defaultdict

from tests.support.server import ROOT

FOLDERS = ("webhook", "certs", "bench", "examples", "tests")
PRODUCT = ("webhook", "certs")
SHARED = {"__init__.py", "__main__.py", "conftest.py"}


def _modules():
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


_OF_TYPE = re.compile(r"[A-Z][A-Z0-9]*[a-z]\w*")
"""The spelling of classes and of aliases of types; constants have no small letter."""


def _types(source, *, aliases=True):
    """The public classes of a module, and its public aliases: `X = ...`, `X: TypeAlias = ...`, `type X = ...`."""
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        elif not aliases:
            continue
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
        elif hasattr(ast, "TypeAlias") and isinstance(node, ast.TypeAlias):
            names.append(node.name.id)
    return [name for name in names if _OF_TYPE.fullmatch(name)]


def _twice(named):
    """The names of several things, with their places; `named` are pairs of a name and its place."""
    places = defaultdict(set)
    for name, place in named:
        places[name].add(str(place.relative_to(ROOT)))
    return {name: sorted(where) for name, where in places.items() if len(where) > 1}


def test_no_two_files_share_a_name():
    assert not _twice((path.name, path) for path in _modules() if path.name not in SHARED)


def test_no_two_public_classes_share_a_name():
    assert not _twice((name, path) for path in _modules() for name in _types(path.read_text(), aliases=False))


def test_no_two_public_types_of_the_product_share_a_name():
    product = (path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py")))
    assert not _twice((name, path) for path in product for name in _types(path.read_text()))


def test_aliases_of_types_count_like_classes():
    assert _types("class A1b: ...\nPair = tuple[int, int]\nKey: TypeAlias = str\nMOST = 5\n_Own = int\nURL = ''") == [
        "A1b",
        "Pair",
        "Key",
    ]
