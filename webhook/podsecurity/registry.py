"""All checks of the standard, and the one question put to them: which level does this pod reach?

Which rule of which check applies to a minor is settled once, at import; `evaluate` only runs rules. It knows no rule's
subject, and it never takes the API server's place: it says what its PodSecurity admission would say.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from webhook.podsecurity import (
    allow_privilege_escalation,
    app_armor,
    capabilities_baseline,
    capabilities_restricted,
    host_namespaces,
    host_path_volumes,
    host_ports,
    host_probes,
    privileged,
    proc_mount,
    restricted_volumes,
    run_as_non_root,
    run_as_user,
    se_linux,
    seccomp_baseline,
    seccomp_restricted,
    sysctls,
    windows_host_process,
)
from webhook.podsecurity.check import OLDEST, Check, CheckFunction, Forbidden, Level, Reason, Verdict
from webhook.podsecurity.pod_view import PodView, read_pod

CHECKS: tuple[Check, ...] = (
    app_armor.CHECK,
    capabilities_baseline.CHECK,
    host_namespaces.CHECK,
    host_path_volumes.CHECK,
    host_ports.CHECK,
    host_probes.CHECK,
    privileged.CHECK,
    proc_mount.BASELINE,
    se_linux.CHECK,
    seccomp_baseline.CHECK,
    sysctls.CHECK,
    windows_host_process.CHECK,
    allow_privilege_escalation.CHECK,
    capabilities_restricted.CHECK,
    proc_mount.RESTRICTED,
    restricted_volumes.CHECK,
    run_as_non_root.CHECK,
    run_as_user.CHECK,
    seccomp_restricted.CHECK,
)
"""Baseline before restricted, each by id: the order of reasons in the API server's warnings."""

NEWEST = max(check.versions[-1][0] for check in CHECKS)
"""The newest minor that changed a rule; every later one is treated like it."""

_Rules = tuple[tuple[Check, CheckFunction], ...]


def _rules(minor: int, level: Level) -> _Rules:
    """The rules that the level asks for at that minor."""
    applying = [(check, rule) for check in CHECKS if check.level <= level and (rule := check.rule(minor)) is not None]
    overridden = {name for check, _ in applying for name in check.overrides}
    return tuple((check, rule) for check, rule in applying if check.id not in overridden)


_MINORS = range(OLDEST, NEWEST + 1)
_BASELINE = tuple(_rules(minor, Level.BASELINE) for minor in _MINORS)
_RESTRICTED = tuple(_rules(minor, Level.RESTRICTED) for minor in _MINORS)
_COMPLIANT = Verdict(Level.RESTRICTED, ())


def _broken(rules: Iterable[tuple[Check, CheckFunction]], pod: PodView) -> list[tuple[Check, Forbidden]]:
    return [(check, forbidden) for check, rule in rules if (forbidden := rule(pod)) is not None]


def evaluate(pod: Mapping[str, Any], minor: int) -> Verdict:
    """The best level the raw pod reaches at Kubernetes 1.`minor`, and why not a better one.

    A minor out of the known range counts as the nearest in it.
    """
    shape = read_pod(pod)
    row = min(max(minor, OLDEST), NEWEST) - OLDEST
    broken = _broken(_RESTRICTED[row], shape)
    if not broken:
        return _COMPLIANT
    below = {check.id for check, _ in _broken(_BASELINE[row], shape)}
    reasons = tuple(
        Reason(
            check=check.id,
            level=Level.RESTRICTED if below.isdisjoint((check.id, *check.overrides)) else Level.BASELINE,
            reason=forbidden.reason,
            detail=forbidden.detail,
        )
        for check, forbidden in broken
    )
    return Verdict(Level.PRIVILEGED if below else Level.BASELINE, reasons)
