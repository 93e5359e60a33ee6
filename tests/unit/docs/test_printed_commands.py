"""Every command that the documentation prints is run by a test, or is listed here with the reason why not."""

import re

import pytest

from tests.support.documentation import blocks
from tests.support.server import ROOT
from webhook.cli.main import COMMANDS

RUN_BY = {
    "README.md": (
        "tests/unit/docs/test_docs.py::test_the_readmes_review_command_prints_what_it_shows",
        "tests/integration/cluster/test_pod_admission.py::test_the_readmes_pipe_runs_as_printed",
    ),
    "docs/audit.md": (
        "tests/integration/cluster/test_cluster_audit.py::test_the_commands_of_a_page_work_as_printed",
        "tests/integration/audit/test_screenshot.py::test_the_documented_command_makes_a_picture",
    ),
    "docs/tutorial.md": (
        "tests/unit/docs/test_docs.py::test_the_tutorials_audit_prints_what_it_shows",
        "tests/integration/cluster/test_cluster_audit.py::test_the_commands_of_a_page_work_as_printed",
    ),
    "docs/certificates.md": (
        "tests/integration/cluster/test_single_commands.py::test_the_commands_of_a_page_work_in_their_order",
        "tests/integration/cluster/test_certs_command.py::test_a_rotation_by_hand_as_documented_refuses_no_pod",
    ),
    "docs/commands.md": (
        "tests/integration/cluster/test_single_commands.py::test_the_commands_of_a_page_work_in_their_order",
    ),
    "docs/enforcement.md": (
        "tests/integration/cluster/test_single_commands.py::test_the_commands_of_a_page_work_in_their_order",
    ),
    "docs/events.md": (
        "tests/integration/cluster/test_single_commands.py::test_the_commands_of_a_page_work_in_their_order",
    ),
    "docs/install.md": ("tests/integration/cluster/test_install_page.py::test_the_page_works_as_printed",),
    "docs/troubleshooting.md": (
        "tests/integration/cluster/test_single_commands.py::test_the_commands_of_a_page_work_in_their_order",
    ),
    "docs/security.md": (
        "tests/integration/cluster/test_single_commands.py::test_the_commands_of_a_page_work_in_their_order",
    ),
}
"""The tests that run the `sh` and `console` blocks of a page."""

NOT_RUN = {
    "CHANGELOG.md": "it says what changed",
    "CONTRIBUTING.md": "it is for those who have a checkout; CI runs what it names",
    "deploy/chart/README.md": "docs/install.md has the same commands with names that exist",
    "docs/alerts.md": "PromQL; promtool evaluates each expression",
    "docs/release.md": "they need a registry and a release",
}
"""Pages whose commands are not run, with the reason."""

OURS = f"vmguard ({'|'.join(COMMANDS)})"
PROGRAM = re.compile(
    rf"^\$? ?({OURS}|kubectl|helm|make|docker|podman|openssl|curl|skopeo|cosign|gh|chromium|python3?) "
)
SYNOPSIS = re.compile(r"\[--|\b[A-Z]{4,}\b")
"""In docs/commands.md an indented block shows the options of a command, with words in capitals for their values."""

PAGES = [path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("page", sorted([*PAGES, "deploy/chart/README.md"]))
def test_each_command_is_run_or_the_page_is_listed_with_the_reason(page):
    for block in blocks((ROOT / page).read_text()):
        lines = [line for line in block.commands if PROGRAM.match(line)]
        if not lines or page in NOT_RUN:
            continue
        if block.language in {"sh", "console"}:
            assert page in RUN_BY, lines
        else:
            assert (page, bool(SYNOPSIS.search(block.text))) == ("docs/commands.md", True), lines


@pytest.mark.parametrize("test", sorted({test for tests in RUN_BY.values() for test in tests}))
def test_the_test_exists(test):
    path, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text()
    if "single_commands" not in test:
        page = next(page for page, tests in RUN_BY.items() if test in tests)
        assert page.rpartition("/")[2] in (ROOT / path).read_text()
