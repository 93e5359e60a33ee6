"""The tuple of checks is well formed, and `evaluate` runs each check that applies to a pod."""

import itertools
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from webhook.podsecurity import Level, Reason, Verdict, evaluate
from webhook.podsecurity.check import OLDEST, Check
from webhook.podsecurity.registry import CHECKS, NEWEST

Edit = Callable[[dict[str, Any]], dict[str, Any]]

_MINORS = range(OLDEST, NEWEST + 1)


def _name(check: Check) -> str:
    return check.id


def test_ids_are_unique():
    assert len({check.id for check in CHECKS}) == len(CHECKS) == 19


def test_order_is_the_api_servers():
    """Baseline before restricted, each sorted by id."""
    assert list(CHECKS) == sorted(CHECKS, key=lambda check: (check.level, check.id))


@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_versions_increase_from_a_known_minor(check: Check):
    minors = [minor for minor, _ in check.versions]
    assert minors
    assert minors[0] >= OLDEST
    assert all(old < new for old, new in itertools.pairwise(minors))


@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_overrides_go_from_restricted_to_existing_baseline_checks(check: Check):
    baseline = {each.id for each in CHECKS if each.level is Level.BASELINE}
    assert set(check.overrides) <= baseline
    assert not check.overrides or check.level is Level.RESTRICTED


def test_levels_are_ordered_and_spelled_as_in_labels():
    assert [str(level) for level in sorted(Level)] == ["privileged", "baseline", "restricted"]


@pytest.mark.parametrize("minor", [-1, 0, 19, *_MINORS, NEWEST + 1, 1000])
def test_the_compliant_pod_is_restricted_at_every_minor(edited: Edit, minor: int):
    assert evaluate(edited({}), minor) == Verdict(Level.RESTRICTED, ())


def test_minors_out_of_range_act_as_the_nearest_known(edited: Edit):
    """Something differs at both ends: capabilities at the old one, sysctls at the new one."""
    capabilities = edited({"spec containers 0 securityContext capabilities add": ["BPF"]})
    sysctl = edited({"spec securityContext sysctls": [{"name": "net.ipv4.tcp_notsent_lowat"}]})
    assert evaluate(capabilities, 3) == evaluate(capabilities, OLDEST) != evaluate(capabilities, NEWEST)
    assert evaluate(sysctl, NEWEST + 7) == evaluate(sysctl, NEWEST) != evaluate(sysctl, OLDEST)


def test_an_unsecured_pod_reads_like_the_api_servers_warning():
    verdict = evaluate({"spec": {"containers": [{"name": "nginx", "image": "nginx"}]}}, 30)
    assert verdict.level is Level.BASELINE
    assert ", ".join(map(str, verdict.reasons)) == (
        "allowPrivilegeEscalation != false "
        '(container "nginx" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "nginx" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "nginx" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "nginx" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")'
    )


def test_an_overridden_check_still_decides_the_level(edited: Edit):
    """Only the restricted check's reason is given, but it says that baseline is out of reach too."""
    verdict = evaluate(edited({"spec volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), 37)
    assert verdict == Verdict(
        Level.PRIVILEGED,
        (
            Reason(
                check="restrictedVolumes",
                level=Level.BASELINE,
                reason="restricted volume types",
                detail='volume "v" uses restricted volume type "hostPath"',
            ),
        ),
    )


def test_a_restricted_check_alone_leaves_baseline(edited: Edit):
    verdict = evaluate(edited({"spec volumes": [{"name": "v", "nfs": {}}]}), 37)
    assert verdict.level is Level.BASELINE
    assert [reason.level for reason in verdict.reasons] == [Level.RESTRICTED]


def test_a_baseline_check_breaks_both_levels(edited: Edit):
    verdict = evaluate(edited({"spec hostNetwork": True}), 37)
    assert verdict.level is Level.PRIVILEGED
    assert [(reason.check, reason.level) for reason in verdict.reasons] == [("hostNamespaces", Level.BASELINE)]


def test_reasons_come_in_the_order_of_checks(edited: Edit):
    verdict = evaluate(
        edited(
            {
                "spec securityContext runAsNonRoot": None,
                "spec volumes": [{"hostPath": {}}],
                "spec hostPID": True,
                "spec containers 0 securityContext": {"privileged": True},
            }
        ),
        37,
    )
    assert [reason.check for reason in verdict.reasons] == [
        "hostNamespaces",
        "privileged",
        "allowPrivilegeEscalation",
        "capabilities_restricted",
        "restrictedVolumes",
        "runAsNonRoot",
    ]


def test_the_outermost_object_may_be_any_mapping(edited: Edit):
    """A pod that was not read would pass every check."""
    assert evaluate(MappingProxyType(edited({"spec hostIPC": True})), 37).level is Level.PRIVILEGED
