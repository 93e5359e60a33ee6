"""The real programs for the chart, built once on a machine."""

from pathlib import Path

import pytest

from tests.controlplane.build import tool
from tests.controlplane.fixtures import had
from tests.controlplane.versions import HELM_3, HELM_4, HELM_DOCS
from tests.support.helm import Helm


@pytest.fixture(scope="session")
def helm(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4, without a cluster."""
    return Helm(had(pytestconfig, lambda: tool(HELM_4)), tmp_path_factory.mktemp("helm-4"))


@pytest.fixture(scope="session")
def helm_3(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 3, without a cluster."""
    return Helm(had(pytestconfig, lambda: tool(HELM_3)), tmp_path_factory.mktemp("helm-3"))


@pytest.fixture(scope="session")
def helm_docs(pytestconfig: pytest.Config) -> Path:
    """The program that makes the README of the chart."""
    return had(pytestconfig, lambda: tool(HELM_DOCS))
