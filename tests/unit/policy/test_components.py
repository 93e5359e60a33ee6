"""The component table is complete, is data, and is the only place that knows kinds and components by name."""

import ast
import re
from pathlib import Path

import msgspec
import pytest

from tests.support.golden import CASES
from tests.support.server import ROOT
from webhook.policy.components import BY_KIND, COMPONENTS, KINDS, Child, Component, Kind, Nothing, check_table
from webhook.policy.custom_resources import CONFIGURATION, GROUP, RESOURCES

VMFOO = Component(name="vmfoo", label="vmfoo", main="vmfoo", containers=("vmfoo",), writes=Nothing("it only reads"))


def _row(*components, kind="VMFoo", **columns):
    return Kind(kind=kind, version="v1", plural="vmfoos", components=components, **columns)


def test_a_row_that_does_not_say_what_the_component_writes_cannot_be_written():
    with pytest.raises(TypeError, match="writes"):
        Component(name="vmfoo")


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([_row(msgspec.structs.replace(VMFOO, writes=Nothing(" ")))], "vmfoo: the row must say why"),
        ([_row()], "VMFoo: a row must have either components or children"),
        ([_row(VMFOO, children=(Child("VMFoo", "vmfoo"),))], "VMFoo: a row must have either components or children"),
        ([_row(children=(Child("VMBar", "vmbar"),))], "VMFoo: its child VMBar has no components"),
        ([_row(VMFOO), _row(msgspec.structs.replace(VMFOO, name="vmbar", label="vmbar"))], "kind 'VMFoo' stands twice"),
        ([_row(VMFOO), _row(VMFOO, kind="VMBar")], "component 'vmfoo' stands twice"),
        ([_row(VMFOO, msgspec.structs.replace(VMFOO, name="vmbar"))], "label 'vmfoo' stands twice"),
        ([_row(msgspec.structs.replace(VMFOO, containers=("a", "a")))], "container of vmfoo 'a' stands twice"),
    ],
)
def test_an_incomplete_or_contradictory_table_stops_the_import(rows, fault):
    """The same check runs over the real table when it is imported."""
    assert check_table([_row(VMFOO)])
    with pytest.raises(ValueError, match=re.escape(fault)):
        check_table(rows)


def test_each_resource_stands_in_one_table():
    """A kind that makes pods has its row in the component table, any other kind in that of configuration."""
    kinds = [row.kind for row in KINDS] + [resource.kind for resource in CONFIGURATION]
    assert len(kinds) == len(set(kinds))
    assert sorted(kinds) == [resource.kind for resource in RESOURCES]


def test_every_kind_with_a_recorded_pod_has_components():
    owners = {
        each["kind"]
        for case in CASES
        if case.category != "unmanaged"
        for each in case.objects
        if each["apiVersion"].startswith(GROUP) and not _is_parent(each["kind"])
    }
    assert len(owners) > 10
    assert owners <= BY_KIND.keys()


def _is_parent(kind):
    return any(row.kind == kind and row.children for row in KINDS)


def _values(value):
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _values(getattr(value, field))
    elif isinstance(value, tuple):
        for each in value:
            yield from _values(each)
    else:
        yield value


def test_every_column_is_data():
    """A function in a row could hide what the table does not say."""
    assert {type(value) for value in _values(KINDS)} == {str, bool, int, type(None)}


TABLES = {"webhook/policy/components.py", "webhook/policy/custom_resources.py"}
EXAMPLES = {"webhook/server/openapi.py"}
"""Files whose texts show a pod as an example."""
OWN = {"webhook/manifests/monitoring.py"}
"""Files that make resources of the operator for vmguard itself, to be scraped and alerted on."""

NAMES = {
    *(resource.kind for resource in RESOURCES),
    *(name for component in COMPONENTS for name in (component.name, component.label, *component.containers)),
    *(path[0] for component in COMPONENTS for path in component.fields),
    *(component.path[1] for component in COMPONENTS if len(component.path) > 1),
} - {"insert", "select", "storage"}  # plain words


def _texts(path):
    """The string constants of a file that are no docstrings."""
    tree = ast.parse(path.read_text())
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    docstrings = {id(node.value) for node in strings}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "webhook").rglob("*.py"))


@pytest.mark.parametrize("name", [name for name in FILES if name not in TABLES | EXAMPLES | OWN])
def test_no_other_file_knows_a_kind_or_a_component_by_name(name):
    """The same holds for the fields of a resource that only some components have."""
    assert {text for text in _texts(Path(ROOT, name)) if text in NAMES} == set()
