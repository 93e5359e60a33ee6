"""Fixtures that tests of several folders share, and the table of seconds at the end of a run in CI."""

from tests.controlplane.fixtures import (
    can_have_control_plane,
    can_have_policies,
    namespace,
    plane,
    plane_124,
    plane_with_nodes,
)
from tests.support.seconds import pytest_terminal_summary

__all__ = [
    "can_have_control_plane",
    "can_have_policies",
    "namespace",
    "plane",
    "plane_124",
    "plane_with_nodes",
    "pytest_terminal_summary",
]
