"""A name means one thing: no two modules and no two public classes share one."""

import ast
from collections import defaultdict

from tests.support.server import ROOT

FOLDERS = ("webhook", "certs", "bench", "examples", "tests")
SHARED = {"__init__.py", "__main__.py", "conftest.py"}


def _modules():
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def _public_classes(path):
    tree = ast.parse(path.read_text())
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def _twice(named):
    """The names that stand for several things, with these; `named` are pairs of a name and where it is."""
    places = defaultdict(set)
    for name, place in named:
        places[name].add(str(place.relative_to(ROOT)))
    return {name: sorted(where) for name, where in places.items() if len(where) > 1}


def test_no_two_files_share_a_name():
    assert not _twice((path.name, path) for path in _modules() if path.name not in SHARED)


def test_no_two_public_classes_share_a_name():
    assert not _twice((name, path) for path in _modules() for name in _public_classes(path))
