"""Decides on every pod of a cluster as at an admission, and gathers the answers by workload.

Pods of one workload that are identical apart from names are decided on once. Evidence that differs from pod to pod,
such as their claims, is looked at for each. What no pod runs of yet is predicted from its resource.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import msgspec

from webhook.admission.admission_review import decode, review_of
from webhook.admit import admit
from webhook.audit.evidence import evidence
from webhook.audit.fixes import Copyable, copyable
from webhook.audit.inventory import Inventory, metadata_of
from webhook.audit.odd_objects import BROKEN, broken
from webhook.audit.pod_judge import DEADLINE, LONGEST, JudgedPod, PodJudge, denials_of, of_violation, of_warning
from webhook.audit.report import VERDICTS, AuditedNamespace, AuditedWorkload, AuditVerdict, NotJudged, ReportedFinding
from webhook.audit.template_pod import has_template, pod_of_template
from webhook.audit.type_fix import type_fix
from webhook.audit.verify import Verifier
from webhook.audit.workload_row import ShownPod, WorkloadRow, lowest
from webhook.driver import drive_async
from webhook.facts import Ref
from webhook.offline.reply import LEVELS, LevelName
from webhook.podsecurity import evaluate
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.decide import PODS_DENIED, Decision, PredictedLevels
from webhook.policy.enforcement import NOT_CALLED, Coverage, coverage, in_namespace
from webhook.policy.findings import Violation, Warn
from webhook.policy.json_access import Raw, object_of
from webhook.policy.placed_fix import PlacedFix, all_of, placed
from webhook.policy.pod_subject import replaced_pod
from webhook.policy.posture import Posture
from webhook.policy.rules import resource_fix_of
from webhook.policy.rules.subject import ResourceObject
from webhook.policy.workload import Workload
from webhook.settings import Settings
from webhook.text import one_line

_TOO_LARGE = ReportedFinding(
    "workload",
    "unknown",
    "no pod of it runs, and the resource is too large to predict one",
    "# Audit again when <one of its pods> runs: a running pod is judged whatever the size of its resource.\n",
)

_BY_LEVELS = "pod-security"
"""The rule whose warnings say what the levels of a workload say."""

_MOST_READ = 200
"""Controllers without pods that are read for their templates; the pods of more are predicted from their resources."""

_Key = tuple[str, str, str, str]
"""Namespace, kind and name of a resource, and the name of the component."""


class Auditor:
    """Audits the pods of one cluster, and the resources of which no pod runs.

    `read_controller` reads a controller with its pod template into the inventory, None where all is there.
    Without `diffs` rows have no diff and no predicted pod, which take half of the time. `audited_others` are the UIDs
    of pods without an owner of the operator's that were looked at all the same.
    """

    def __init__(
        self,
        cluster: str,
        inventory: Inventory,
        settings: Settings,
        *,
        verifier: Verifier | None = None,
        diffs: bool = True,
        read_controller: Callable[[Ref], Awaitable[None]] | None = None,
    ) -> None:
        self._diffs = diffs
        self.audited_others: set[str] = set()
        self._cluster = cluster
        self._inventory = inventory
        self._read_controller = read_controller
        self._read = 0
        self._settings = settings
        self._rows: dict[_Key, WorkloadRow] = {}
        self._judge = PodJudge(inventory, settings, verifier, diffs=diffs)
        self._not_judged: dict[str, NotJudged] = {}
        self._pods: Counter[str] = Counter()
        self._levels: dict[str, list[LevelName]] = {}
        self._uncertain: set[str] = set()
        self._unseen: dict[str, str] = {}

    async def add_pod(self, pod: Raw, whole: Raw | None = None) -> None:
        """Judge one trimmed pod; `whole` is all of it, for a dry run."""
        metadata = metadata_of(pod)
        namespace, name = str(metadata.get("namespace") or "default"), str(metadata.get("name"))
        judged = await self._judge.judge(namespace, pod, whole)
        why_not = judged if isinstance(judged, str) else judged.why_not
        if why_not:
            self.fail(namespace, f"{namespace}/{name}: {why_not}", pods=1)
        if isinstance(judged, str):
            return
        workload = judged.decision.identity
        if isinstance(workload, Workload):
            self._add_judged(namespace, workload, pod, judged)
        elif not why_not:
            self.audited_others.add(str(metadata.get("uid")))
            self.add_level(namespace, LEVELS[judged.now.level])

    def _add_judged(self, namespace: str, workload: Workload, pod: Raw, judged: JudgedPod) -> None:
        """Add a running pod to the row of its workload, with the evidence that is its own."""
        now, after = LEVELS[judged.now.level], LEVELS[judged.after.level]
        self._pods[namespace] += 1
        self.add_level(namespace, after)
        is_changed = bool(judged.decision.patch)
        shown = ShownPod(
            judged.decision.changes if is_changed else (),
            tuple(map(str, judged.after.reasons)),
            judged.diff,
            judged.predicted if self._diffs else None,
        )
        row = self._row(workload)
        row.add_pod(now, after, "changes" if is_changed else "ok", shown)
        self._add_findings(row, judged.findings)
        if is_changed:
            groups = self._inventory.storage.groups_of(namespace, pod)
            replaced = replaced_pod(workload, pod, judged.predicted, self._settings, groups)
            is_strict = any(each.security_context == "strict" for each in judged.decision.postures)
            minor = self._inventory.minor if is_strict else None
            self._add_findings(row, evidence(replaced, workload, self._inventory.resource, minor))

    async def add_resources(self) -> None:
        """Judge the predicted pods of each resource of which no pod runs."""
        controllers = self._inventory.controllers()
        for resource in self._inventory.resources:
            kind = str(resource.get("kind"))
            if kind not in PARENTS and not self._is_audited(kind, resource):
                for ref in controllers.get(str(metadata_of(resource).get("uid")), ()):
                    await self._add_controller(ref)
            if kind in PARENTS or not self._is_audited(kind, resource):
                await asyncio.sleep(0)
                await self._add_resource(resource)

    async def _add_controller(self, ref: Ref) -> None:
        """Judge the next pod of a controller, if its template is known and no pod of its component was judged."""
        if self._read_controller and self._read < _MOST_READ:
            self._read += 1
            await self._read_controller(ref)
        controller = self._inventory.controller(ref)
        if controller is None or not has_template(controller):
            return
        pod = pod_of_template(controller, self._inventory.owner_for_pod(ref, controller))
        judged = await self._judge.judge_new(ref.namespace, pod)
        if isinstance(judged, str) or judged.why_not or not isinstance(judged.decision.identity, Workload):
            return
        workload = judged.decision.identity
        if (workload.namespace, workload.kind, workload.name, workload.component.name) in self._rows:
            return
        row, is_changed = self._row(workload), bool(judged.decision.patch)
        row.based_on = "template"
        now, after = LEVELS[judged.now.level], LEVELS[judged.after.level]
        changes = judged.decision.changes if is_changed else ()
        shown = ShownPod(changes, tuple(map(str, judged.after.reasons)), judged.diff)
        row.add_prediction(now, after, "changes" if is_changed else "ok", shown)
        self.add_level(ref.namespace, after)
        self._add_findings(row, judged.findings)

    def _is_audited(self, kind: str, resource: Raw) -> bool:
        """Whether a pod of each component of a resource was judged; true of a kind that makes no pods."""
        metadata, spec = metadata_of(resource), object_of(resource.get("spec"))
        place = str(metadata.get("namespace") or "default"), kind, str(metadata.get("name"))
        return all((*place, each.name) in self._rows for each in BY_KIND.get(kind, ()) if each.runs_in(spec))

    def add_level(self, namespace: str, level: LevelName) -> None:
        """Take the level of a pod that is none of the operator's: it counts for what its namespace could enforce."""
        self._levels.setdefault(namespace, []).append(level)

    def doubt(self, why: str, *namespaces: str) -> None:
        """Say of no level that these namespaces could enforce it, for that reason."""
        self._uncertain.update(namespaces)
        self._unseen = {**dict.fromkeys(namespaces, why), **self._unseen}

    def level_of(self, pod: Raw) -> LevelName:
        """The Pod Security level of a pod as it is."""
        return LEVELS[evaluate(pod, self._inventory.minor).level]

    def undecided_namespaces(self) -> list[str]:
        """The namespaces in which pods that are not audited decide what they could enforce."""
        uncertain = self._uncertain | set(self._not_judged)
        return [
            each for each in sorted(self._pods) if each not in uncertain and lowest(self._levels[each]) != LEVELS[0]
        ]

    def workloads(self) -> list[AuditedWorkload]:
        """All workloads, the worst first."""
        return sorted((row.reported(self._cluster) for row in self._rows.values()), key=worst_first)

    def not_judged(self) -> list[NotJudged]:
        """Pods that could not be judged, by namespace."""
        return [self._not_judged[namespace] for namespace in sorted(self._not_judged)]

    async def namespaces(self) -> list[AuditedNamespace]:
        """All namespaces with VictoriaMetrics pods, and the level that each could enforce afterwards."""
        found = []
        for namespace in sorted(self._pods):
            labels = await self._inventory.labels_of(namespace)
            where = "unknown" if labels is None else coverage(self._settings.mode, namespace, labels)
            known = namespace not in self._uncertain | set(self._not_judged)
            could = lowest(self._levels[namespace]) if known else ""
            why = "" if known else self._unseen.get(namespace, "")
            found.append(AuditedNamespace(self._cluster, namespace, where, self._pods[namespace], could, why))
        return found

    async def _add_resource(self, resource: Raw) -> None:
        kind, metadata = str(resource.get("kind")), metadata_of(resource)
        namespace, name = str(metadata.get("namespace") or "default"), str(metadata.get("name"))
        review = decode(review_of(resource, uid="audit", namespace=namespace, name=name))
        labels = await self._inventory.labels_of(namespace)
        where, there = in_namespace(self._settings, namespace, labels or {})
        steps = admit(review, "validate", there, minor=self._inventory.minor)
        deadline = asyncio.get_running_loop().time() + DEADLINE
        try:
            decision, _ = await drive_async(steps, self._inventory, deadline)
        except BROKEN as error:
            self.fail(namespace, f"{kind} {namespace}/{name}: {broken(error)}")
            return
        if decision.refused or decision.outcome in {"unknown", "unknown-kind"}:
            why = decision.refused or decision.annotations.get("decision", "")
            self.fail(namespace, f"{kind} {namespace}/{name}: {why}")
            return
        spec = object_of(resource.get("spec"))
        if decision.denies and not decision.predicted_levels:
            for component in BY_KIND.get(kind, ()):
                row = self._row(Workload(kind, namespace, name, component, "", spec))
                what = self._fix_in_resource(resource, row.workload, decision.violations)
                rule = decision.violations[0].rule if decision.violations else "workload"
                row.add_findings(msgspec.structs.replace(each, id=rule) for each in denials_of(decision, what))
                self._uncertain.add(namespace)
            return
        if kind in PARENTS:
            return  # the children of a parent are resources of their own
        others = [] if where in NOT_CALLED else self._judge.foreign_changes(namespace, labels, {}, any_pod=True)
        others += self._judge.unread_labels(namespace, labels)
        if namespace in self._not_judged:
            text = f"pods of namespace {namespace} could not be judged, and may be of this workload"
            fix = '# See what the report says under "Not judged", and audit again without <that obstacle>.\n'
            others.append(ReportedFinding("workload", "unknown", text, fix))
        for posture, levels in zip(decision.postures, decision.predicted_levels, strict=False):
            component = posture.component
            if (namespace, kind, name, component.name) not in self._rows:
                controller = component.controller_in(component.part_of(spec))
                row = self._row(Workload(kind, namespace, name, component, controller, spec))
                self._add_predicted(row, posture, levels, where)
                found = (
                    self._about(resource, row.workload, levels, decision) if levels and where not in NOT_CALLED else ()
                )
                self._add_findings(row, [*found, *others] if levels else [_TOO_LARGE])

    def _add_predicted(
        self, row: WorkloadRow, posture: Posture, levels: PredictedLevels | None, where: Coverage
    ) -> None:
        """Add the predicted pod of a workload, of which none runs, to its row."""
        if levels is None:
            return
        is_filled = where == "enforced"
        now, after = LEVELS[levels.before.level], LEVELS[(levels.after if is_filled else levels.before).level]
        untouched = posture.security_context == "off" and posture.api_access == "automount"
        verdict: AuditVerdict = "changes" if is_filled and not untouched else "ok"
        row.add_prediction(now, after, verdict, ShownPod(not_restricted=tuple(map(str, levels.after.reasons))))
        self.add_level(row.workload.namespace, after)

    def _about(
        self, resource: Raw, workload: Workload, levels: PredictedLevels, decision: Decision
    ) -> Iterator[ReportedFinding]:
        """What the decision on a resource finds in the predicted pods of one component."""
        fixes = {each.finding.text: each.fix for each in levels.flaws if isinstance(each.finding, Warn)}
        for each in decision.findings:
            if isinstance(each, Violation):
                fix = next((of.fix for of in levels.flaws if of.finding is each), None)
                yield of_violation(each, each.why, self._copyable(fix, resource, workload, each), "DENIED")
            elif isinstance(each, Warn) and each.rule != _BY_LEVELS:
                what = each.text.removeprefix(PODS_DENIED)
                about = what.partition(": ")[0].split(", ")
                if len(decision.postures) == 1 or workload.component.name in about:
                    yield of_warning(each, self._copyable(fixes.get(what), resource, workload, each))

    def _copyable(
        self, fix: PlacedFix | None, resource: Raw, workload: Workload, finding: Violation | Warn
    ) -> Copyable:
        """What someone can copy of a fix for a predicted pod, else for the finding on the resource."""
        if fix and (what := copyable(fix, self._inventory.resource)).fix:
            return what
        return self._fix_in_resource(resource, workload, [finding])

    def _fix_in_resource(self, resource: Raw, workload: Workload, findings: Iterable[Violation | Warn]) -> Copyable:
        """What someone can copy for findings on a resource as it is written."""
        fix = all_of(resource_fix_of(each, ResourceObject(workload.kind, resource)) for each in findings)
        fix = fix or type_fix(resource)
        return copyable(placed(fix, workload), self._inventory.resource) if fix else Copyable()

    def _add_findings(self, row: WorkloadRow, findings: Iterable[ReportedFinding]) -> None:
        row.add_findings(findings)
        if row.is_uncertain:
            self._uncertain.add(row.workload.namespace)

    def _row(self, workload: Workload) -> WorkloadRow:
        key = workload.namespace, workload.kind, workload.name, workload.component.name
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = WorkloadRow(workload)
        return row

    def fail(self, namespace: str, why: str, pods: int = 0) -> None:
        """Note what could not be judged: pods of a namespace, or 0 for other objects."""
        before = self._not_judged.get(namespace)
        why = before.why if before else one_line(why, LONGEST)
        self._not_judged[namespace] = NotJudged(self._cluster, namespace, (before.pods if before else 0) + pods, why)


def worst_first(workload: AuditedWorkload) -> tuple[Any, ...]:
    """The order of workloads in a report."""
    each = workload
    return VERDICTS.index(each.verdict), each.cluster, each.namespace, each.kind, each.name, each.component
