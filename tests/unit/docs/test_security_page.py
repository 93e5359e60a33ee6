"""Each claim of docs/security.md names tests that exist."""

import ast
import re

import pytest

from tests.support.documented_permissions import documented
from tests.support.server import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
REFERENCES = re.findall(r"`(tests/[^`]+)::(test_\w+)`", PAGE)
CLAIMS = [
    cells[-2]
    for table in re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE)
    if table.splitlines()[0].endswith("| tests |")
    for cells in (row.split("|") for row in table.splitlines()[2:])
]


@pytest.mark.parametrize(("path", "name"), sorted(set(REFERENCES)))
def test_a_test_that_the_page_names_exists(path, name):
    functions = {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert name in functions


def test_every_row_of_a_claim_names_a_test():
    assert len(CLAIMS) > 40
    assert all(re.search(r"`tests/[^`]+::test_\w+`", cell) for cell in CLAIMS)


def test_every_table_of_the_page_has_a_column_for_tests():
    heads = [table.splitlines()[0] for table in re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE)]
    assert all(head.endswith("| tests |") for head in heads)


def test_the_permissions_of_the_certificates_page_are_among_those_of_the_security_page():
    assert set(documented("certificates.md")) <= set(documented("security.md"))
