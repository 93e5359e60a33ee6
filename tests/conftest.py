"""Fixtures that tests of several folders share, and what holds for a whole run."""

import resource

from tests.controlplane.fixtures import (
    can_have_control_plane,
    can_have_network_namespace,
    can_have_policies,
    namespace,
    plane,
    plane_124,
    plane_with_nodes,
)
from tests.support import examples  # noqa: F401 - it registers the profile `quick`
from tests.support.seconds import pytest_terminal_summary

__all__ = [
    "can_have_control_plane",
    "can_have_network_namespace",
    "can_have_policies",
    "namespace",
    "plane",
    "plane_124",
    "plane_with_nodes",
    "pytest_terminal_summary",
]


def pytest_configure() -> None:
    """Let this process and its servers open 4096 files: tests hold a thousand connections, and a shell allows 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
