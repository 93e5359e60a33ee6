"""How long each part of a run took, as a table before pytest's closing lines. Only where CI_SECONDS names a file.

The file has a line for each part that ran before: its name, a tab, its seconds.
"""

import os
from collections import defaultdict
from pathlib import Path

import pytest

_FOLDERS = 3
"""How many folders of a test's path name its part: tests/integration/cluster."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the parts of the file, and of these tests the sum of each folder's, over all workers."""
    file = os.environ.get("CI_SECONDS")
    if not file:
        return
    before = [line.partition("\t") for line in Path(file).read_text().splitlines()] if Path(file).exists() else []
    terminalreporter.section("seconds of each part")
    for name, _, seconds in before:
        terminalreporter.write_line(f"{name:32}{seconds:>6}")
    for name, total in sorted(_totals(terminalreporter).items()):
        terminalreporter.write_line(f"{name:32}{total:6.0f}")


def _totals(terminalreporter: pytest.TerminalReporter) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                folders = Path(report.nodeid.partition("::")[0]).parent.parts[:_FOLDERS]
                totals["/".join(folders)] += report.duration
    return totals
