"""A vmguard for each set of settings between a real API server and its pods, for its own namespaces only."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.controlplane.plane import ControlPlane
from tests.support.accounts import granted
from tests.support.egress import Egress, egress_of
from tests.support.labelled_guard import LabelledGuard, labelled_guards
from tests.support.release import Release, release


@pytest.fixture(scope="session")
def guard(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LabelledGuard]]:
    """`guard(**environment)`: a vmguard with these settings, started once a run and registered."""
    with labelled_guards(plane, tmp_path_factory) as started:
        yield started


@pytest.fixture(scope="session")
def guard_124(
    plane_124: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., LabelledGuard]]:
    """The same in the control plane of Kubernetes 1.24."""
    with labelled_guards(plane_124, tmp_path_factory) as started:
        yield started


@pytest.fixture(scope="session")
def watcher(plane: ControlPlane) -> Path:
    """The kubeconfig of a user who may list and watch everything and get nothing."""
    return granted(plane, "watcher", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["list", "watch"]}])


@pytest.fixture(scope="module")
def egress(plane: ControlPlane) -> Iterator[Egress]:
    """The way from the API server to the Services of these tests."""
    with egress_of(plane) as made:
        yield made


@pytest.fixture
def installation(plane: ControlPlane, egress: Egress, tmp_path: Path) -> Iterator[Release]:
    """An installation with its configurations and no replica yet."""
    with release(plane, egress, tmp_path) as made:
        made.configure()
        yield made
