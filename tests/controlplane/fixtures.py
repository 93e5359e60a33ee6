"""Fixtures for tests against a real control plane; `tests/conftest.py` makes them everyone's.

One control plane serves a whole run (each worker of pytest-xdist has its own), one namespace one test. Where none can
be had tests are skipped with the reason, and fail where CI is set.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.controlplane.build import UnavailableError, programs
from tests.controlplane.network_namespace import network_namespace
from tests.controlplane.plane import ControlPlane, control_plane
from tests.controlplane.versions import NEWEST, WITH_POLICIES
from tests.support.programs import missing

_COUNT = itertools.count(1)
_T = TypeVar("_T")


@pytest.fixture(scope="session")
def can_have_control_plane(pytestconfig: pytest.Config) -> None:
    """Everything is built, now if need be, with the progress on the terminal; or the test ends here."""
    had(pytestconfig, lambda: programs(NEWEST))


@pytest.fixture(scope="session")
def can_have_policies(pytestconfig: pytest.Config) -> None:
    """The same for the last version of Kubernetes that serves PodSecurityPolicies."""
    had(pytestconfig, lambda: programs(WITH_POLICIES))


@pytest.fixture(scope="session")
def can_have_network_namespace(pytestconfig: pytest.Config) -> None:
    """This process may make network namespaces, or the test ends here."""

    def make() -> None:
        with network_namespace():
            pass

    had(pytestconfig, make)


def had(config: pytest.Config, get: Callable[[], _T]) -> _T:
    """What `get` answers, with its progress on the terminal; if it raises UnavailableError, the test ends here."""
    capture = config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():
            return get()
    except UnavailableError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def plane(can_have_control_plane: None) -> Iterator[ControlPlane]:
    """A control plane with the operator's resources; its pods are made and run nowhere."""
    with control_plane() as started:
        started.install_resources()
        yield started


@pytest.fixture(scope="session")
def plane_124(can_have_policies: None) -> Iterator[ControlPlane]:
    """A control plane of Kubernetes 1.24, which serves PodSecurityPolicies; no admission plugin enforces them."""
    with control_plane(WITH_POLICIES) as started:
        started.install_resources()
        yield started


@pytest.fixture(scope="session")
def plane_with_nodes(plane: ControlPlane) -> ControlPlane:
    """The same control plane, from now on with a node where pods become ready.

    So whether its pod is pending or ready is nothing that a test with `plane` alone may lean on.
    """
    plane.start_nodes()
    return plane


def needs(plane: ControlPlane, minor: int, what: str) -> None:
    """Skip the test where `make matrix` has it run on a version that is older than what it needs."""
    if int(plane.version.partition(".")[2]) < minor:
        pytest.skip(f"{what} needs Kubernetes 1.{minor}")


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """A namespace of this test's own, ready for pods."""
    name = plane.namespace(f"test-{next(_COUNT)}")
    yield name
    plane.api.delete("v1", "Namespace", name)
