"""Fixtures that tests of several rooms share."""

from tests.controlplane.fixtures import (
    can_have_control_plane,
    can_have_policies,
    namespace,
    plane,
    plane_124,
    plane_with_nodes,
)

__all__ = ["can_have_control_plane", "can_have_policies", "namespace", "plane", "plane_124", "plane_with_nodes"]
