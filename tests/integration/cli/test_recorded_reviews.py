"""`vmguard review` prints for every recorded case the pod that the operator makes."""

import pytest
import yaml

from tests.support.command import vmguard
from tests.support.golden import CASES, expected, projection
from tests.support.server import ROOT


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_every_recorded_case_is_decided_right_on_the_command_line(case):
    run = ("review", "--objects", case.path / "objects.json", case.path / "review.json", "--output")
    status, out, _ = vmguard(*run, "pod", cwd=ROOT, **case.settings)
    assert status == 0
    assert projection(yaml.safe_load(out)) == expected(case)
