"""OpenShift refuses pods with a fixed user; vmguard reports the combination."""

import pytest

from tests.support.server import ROOT
from webhook.policy.platform import OVERLAY, refused_by_constraints


def test_the_overlay_is_named_where_constraints_meet_a_fixed_user():
    text = refused_by_constraints("65534", serves_constraints=True)
    assert "VMGUARD_RUN_AS is 65534" in text
    assert OVERLAY in text
    assert (ROOT / OVERLAY / "kustomization.yaml").is_file()


@pytest.mark.parametrize(("run_as", "served"), [("65534", False), ("platform", True), ("platform", False)])
def test_users_that_the_platform_accepts_are_not_reported(run_as, served):
    assert refused_by_constraints(run_as, serves_constraints=served) == ""
