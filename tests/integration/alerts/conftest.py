"""The programs that evaluate alerts."""

from pathlib import Path

import pytest

from tests.controlplane.build import tool
from tests.controlplane.fixtures import had
from tests.controlplane.versions import PROMTOOL


@pytest.fixture(scope="session")
def promtool(pytestconfig: pytest.Config) -> Path:
    """The path of promtool."""
    return had(pytestconfig, lambda: tool(PROMTOOL))
