"""One workload in an audit: what its pods, or the pods that it will have, add up to. Pure data."""

from collections.abc import Iterable, Sequence

import msgspec

from webhook.audit.report import VERDICTS, AuditedWorkload, AuditVerdict, ReportedFinding, RowBasis
from webhook.offline.reply import LEVELS, LevelName, pod_change
from webhook.policy.findings import Change
from webhook.policy.json_access import Raw
from webhook.policy.workload import Workload
from webhook.text import one_line

_LONGEST = 500

_GOOD = frozenset({"changes", "ok"})
"""Verdicts that do not hold for a workload of which something is unknown."""


class ShownPod(msgspec.Struct, frozen=True):
    """What a row shows of one pod: its changes, why it is not restricted, its diff, and the pod as it will be."""

    changes: Sequence[Change] = ()
    not_restricted: tuple[str, ...] = ()
    diff: str = ""
    predicted: Raw | None = None


class WorkloadRow:
    """One workload. The verdict is the worst of all; changes and diff are those of the pod with the most changes."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.is_uncertain = False
        self.based_on: RowBasis = "resource"
        self._pods = 0
        self._now: list[LevelName] = []
        self._after: list[LevelName] = []
        self._worst: AuditVerdict = "ok"
        self._findings: dict[tuple[str, str], ReportedFinding] = {}
        self._shown: ShownPod | None = None

    def add_pod(self, now: LevelName, after: LevelName, verdict: AuditVerdict, shown: ShownPod) -> None:
        """Add a pod that runs: its levels, its verdict without evidence, and what to show of it."""
        self._pods += 1
        self.based_on = "pods"
        self.add_prediction(now, after, verdict, shown)

    def add_prediction(self, now: LevelName, after: LevelName, verdict: AuditVerdict, shown: ShownPod) -> None:
        """Add a pod that does not run; the arguments are as in `add_pod`."""
        self._now.append(now)
        self._after.append(after)
        self._worst = worst([self._worst, verdict])
        if self._shown is None or len(shown.changes) > len(self._shown.changes):
            self._shown = shown

    def add_findings(self, findings: Iterable[ReportedFinding]) -> None:
        """Add evidence, each text once."""
        for each in findings:
            self._findings.setdefault((each.id, each.text), each)
            self.is_uncertain = self.is_uncertain or each.verdict == "unknown"
            self._worst = worst([self._worst, each.verdict])

    def reported(self, cluster: str) -> AuditedWorkload:
        """The row as the report has it."""
        workload, shown = self.workload, self._shown or ShownPod()
        verdict: AuditVerdict = "unknown" if self.is_uncertain and self._worst in _GOOD else self._worst
        findings = sorted(self._findings.values(), key=lambda each: (VERDICTS.index(each.verdict), each.id, each.text))
        first = next((each for each in findings if each.verdict == verdict), findings[0] if findings else None)
        now, after = lowest(self._now or LEVELS[:1]), lowest(self._after or LEVELS[:1])
        stays = f"{shown.not_restricted[0]}: {after}" if shown.not_restricted and after != "restricted" else ""
        return AuditedWorkload(
            cluster=cluster,
            namespace=workload.namespace,
            kind=workload.kind,
            name=workload.name,
            component=workload.component.name,
            controller=workload.workload,
            pods=self._pods,
            level_now=now,
            level_after=after,
            verdict=verdict,
            first_reason=one_line(first.text if first else stays, _LONGEST),
            changes=[pod_change(each) for each in shown.changes],
            findings=findings,
            not_restricted=list(shown.not_restricted),
            diff=shown.diff,
            predicted=shown.predicted,
            parent=str(workload.parentage.parent or ""),
            based_on=self.based_on,
        )


def worst(verdicts: Iterable[AuditVerdict]) -> AuditVerdict:
    """The worst of some verdicts."""
    return min(verdicts, key=VERDICTS.index)


def lowest(levels: Iterable[LevelName]) -> LevelName:
    """The loosest of some Pod Security levels."""
    return min(levels, key=LEVELS.index)
