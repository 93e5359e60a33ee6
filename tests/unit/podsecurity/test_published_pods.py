"""Each pod that Kubernetes publishes for the standard gets the verdict that its file name gives.

The files are the data of its own tests, `LEVEL/v1.MINOR/{pass,fail}/CHECKn.yaml` in a Go module.
"""

import string

import pytest

from tests.controlplane.build import source
from tests.controlplane.fixtures import had
from tests.controlplane.versions import KUBERNETES, NEWEST
from webhook.offline.documents import COMMAND_LINE, read_documents
from webhook.podsecurity import Level, evaluate
from webhook.podsecurity.check import OLDEST
from webhook.podsecurity.registry import CHECKS

pytestmark = pytest.mark.slow

LATEST = int(NEWEST.partition(".")[2])
STANDS_FOR = {check.id: {name.lower() for name in (check.id, *check.overrides)} for check in CHECKS}


@pytest.fixture(scope="module")
def published_pods(pytestconfig):
    """The folder of the levels."""
    module = had(pytestconfig, lambda: source(KUBERNETES[NEWEST], "k8s.io/pod-security-admission"))
    return module / "test" / "testdata"


def _check(file):
    return file.rstrip(string.digits)


def _broken(folder, level, minor):
    """By file, the checks that keep its pod from the level, in lower case with those that they override."""
    broken = {}
    for path in sorted(folder.glob("*.yaml")):
        [document] = read_documents(path.read_bytes(), limits=COMMAND_LINE)
        verdict = evaluate(document.value, minor)
        reasons = [reason for reason in verdict.reasons if reason.level <= level]
        assert bool(reasons) is (verdict.level < level), path
        broken[path.stem] = {name for reason in reasons for name in STANDS_FOR[reason.check]}
    return broken


@pytest.mark.parametrize("minor", range(OLDEST, LATEST + 1))
@pytest.mark.parametrize("level", [Level.BASELINE, Level.RESTRICTED], ids=str)
def test_each_passes_or_fails_by_the_check_it_is_named_after(published_pods, level, minor):
    folder = published_pods / str(level) / f"v1.{minor}"
    passing, failing = (_broken(folder / kind, level, minor) for kind in ("pass", "fail"))
    wrong = [f"pass/{file} fails {sorted(checks)}" for file, checks in passing.items() if checks]
    wrong += [f"fail/{file} fails {sorted(checks)}" for file, checks in failing.items() if _check(file) not in checks]
    assert not wrong, "\n".join(wrong)
    assert passing
    asked = {check.id.lower() for check in CHECKS if check.level <= level and check.rule(minor)}
    assert {_check(file) for file in failing} == asked
