"""Decides on every pod of a cluster as at an admission, and gathers the answers by workload.

Pods of one workload that are identical apart from names are decided on once. Evidence that differs from pod to pod,
such as their claims, is looked at for each. What no pod runs of yet is predicted from its resource.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import unified_diff
from typing import Any, TypeGuard

import jsonpatch
import msgspec

from webhook.admission.admission_review import decode, review_of
from webhook.admit import admit
from webhook.audit import foreign_mutations
from webhook.audit.admission_chain import ID as ADMISSION
from webhook.audit.evidence import evidence
from webhook.audit.fixes import fix_text
from webhook.audit.inventory import Inventory, metadata_of
from webhook.audit.odd_objects import BROKEN, broken
from webhook.audit.report import (
    VERDICTS,
    AuditedNamespace,
    AuditedWorkload,
    AuditVerdict,
    NotJudged,
    ReportedFinding,
)
from webhook.audit.verify import Verifier
from webhook.cluster.permission import without_advice
from webhook.driver import drive_async
from webhook.facts import Absent, NotServed
from webhook.latest import Latest
from webhook.objects import Pod
from webhook.offline.reply import LEVELS, LevelName, pod_change
from webhook.podsecurity import Verdict as PodSecurityVerdict
from webhook.podsecurity import evaluate
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.decide import PODS_DENIED, Decision, PredictedLevels
from webhook.policy.enforcement import EXCLUDED, NOT_CALLED, coverage
from webhook.policy.findings import Change, Violation, Warn
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.placed_fix import all_of, placed
from webhook.policy.pod_subject import flawed_pod, replaced_pod, subject_of
from webhook.policy.posture import Posture
from webhook.policy.rules import check_preview, fix_of, resource_fix_of
from webhook.policy.rules.subject import FlawedPod, PreviewedPod, ResourceObject
from webhook.policy.rules.wanted_context import nested, wanted_context
from webhook.policy.token_volume import PLUGIN_PREFIX
from webhook.policy.volume_users import image_users
from webhook.policy.wording import complaint
from webhook.policy.workload import Identity, Link, UnknownKind, UnknownOwner, Unmanaged, Workload
from webhook.settings import Settings
from webhook.text import one_line
from webhook.yaml_output import as_yaml

_MOST_JUDGED = 200
"""Different pods whose judgement is held; pods of one workload come one after another."""

_DEADLINE = 30.0
_LONGEST = 500

_SEVERITY: dict[str, AuditVerdict] = {"image-user": "BREAKS", "read-only-root": "BREAKS", "sidecar": "ok"}
"""What a warning of a rule means for a pod that runs now; CHECK for all other rules."""

_BY_LEVELS = "pod-security"
"""The rule whose warnings say what the levels of a workload say."""

_ELSEWHERE = frozenset({"volume-ownership", _BY_LEVELS})
"""Rules whose warnings on new pods say nothing more of a running one: evidence and levels say it."""

_Key = tuple[str, str, str, str]
"""Namespace, kind and name of a resource, and the name of the component."""


class _Judged(msgspec.Struct, frozen=True):
    """What holds for identical pods: the decision, the pod as it is and will be, and all that does not differ.

    `lost` is why the owner of a pod with the operator's labels is not known, "" for none.
    """

    decision: Decision
    now: PodSecurityVerdict
    after: PodSecurityVerdict
    predicted: Raw
    findings: tuple[ReportedFinding, ...]
    diff: str
    lost: str = ""


class _Row:
    """What is known of one workload so far; the worst of its pods is shown."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.pods = 0
        self.now: list[LevelName] = []
        self.after: list[LevelName] = []
        self.verdict: AuditVerdict = "ok"
        self.findings: dict[tuple[str, str], ReportedFinding] = {}
        self.changes: Sequence[Change] = ()
        self.not_restricted: list[str] = []
        self.diff = ""
        self.predicted: Raw | None = None
        self.worst = -1


class Auditor:
    """Audits the pods of one cluster, and the resources of which no pod runs.

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
    ) -> None:
        self._diffs = diffs
        self._verifier = verifier
        self.audited_others: set[str] = set()
        self._cluster = cluster
        self._inventory = inventory
        self._settings = settings
        self._rows: dict[_Key, _Row] = {}
        self._judged: Latest[bytes, _Judged] = Latest(_MOST_JUDGED)
        self._not_judged: dict[str, NotJudged] = {}
        self._pods: Counter[str] = Counter()
        self._levels: dict[str, list[LevelName]] = {}
        self._uncertain: set[str] = set()
        self._unseen: dict[str, str] = {}

    async def add_pod(self, pod: Raw, whole: Raw | None = None) -> None:
        """Judge one trimmed pod; `whole` is all of it, for a dry run."""
        metadata = metadata_of(pod)
        namespace, name = str(metadata.get("namespace") or "default"), str(metadata.get("name"))
        judged = await self._judge(namespace, pod, whole)
        why = judged if isinstance(judged, str) else judged.lost or _not_judgeable(judged.decision.identity)
        if why:
            self.fail(namespace, f"{namespace}/{name}: {why}", pods=1)
        if isinstance(judged, str) or not isinstance(identity := judged.decision.identity, Workload):
            if not why:
                self.audited_others.add(str(metadata.get("uid")))
                self.add_level(namespace, LEVELS[judged.now.level])  # type: ignore[union-attr]  # a text is a reason
            return
        self._pods[namespace] += 1
        self.add_level(namespace, LEVELS[judged.after.level])
        row = self._row(identity)
        row.pods += 1
        against = self._evidence(namespace, identity, pod, judged.predicted) if judged.decision.patch else []
        self._show(row, judged, [*judged.findings, *against])

    async def add_resources(self) -> None:
        """Judge the predicted pods of each resource of which no pod runs."""
        for resource in self._inventory.resources:
            kind = str(resource.get("kind"))
            if kind in PARENTS or not self._is_audited(kind, resource):
                await asyncio.sleep(0)
                await self._add_resource(resource)

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
        return sorted((self._reported(row) for row in self._rows.values()), key=worst_first)

    def not_judged(self) -> list[NotJudged]:
        """Pods that could not be judged, by namespace."""
        return [self._not_judged[namespace] for namespace in sorted(self._not_judged)]

    async def namespaces(self) -> list[AuditedNamespace]:
        """All namespaces with pods of the operator, and the level that each could enforce afterwards."""
        found = []
        for namespace in sorted(self._pods):
            labels = await self._inventory.labels_of(namespace)
            where = "unknown" if labels is None else coverage(self._settings.mode, namespace, labels)
            known = namespace not in self._uncertain | set(self._not_judged)
            could = lowest(self._levels[namespace]) if known else ""
            why = "" if known else self._unseen.get(namespace, "")
            found.append(AuditedNamespace(self._cluster, namespace, where, self._pods[namespace], could, why))
        return found

    def _evidence(self, namespace: str, workload: Workload, pod: Raw, predicted: Raw) -> list[ReportedFinding]:
        """The evidence against the new users of one pod."""
        groups = self._inventory.storage.groups_of(namespace, pod)
        return evidence(replaced_pod(workload, pod, predicted, self._settings, groups), workload)

    async def _judge(self, namespace: str, pod: Raw, whole: Raw | None) -> _Judged | str:
        """What holds for a pod and all that are identical; the reason where it cannot be judged."""
        try:
            key = _identical(namespace, pod)
            found = self._judged.get(key)
            if found is not None:
                return found
            judged = await self._decide(namespace, _as_created(pod), pod, whole)
        except BROKEN as error:
            return broken(error)
        self._judged.put(key, judged)
        return judged

    async def _decide(self, namespace: str, created: Raw, running: Raw, whole: Raw | None) -> _Judged:
        name = str(metadata_of(created).get("name") or "")
        review = decode(review_of(created, uid="audit", namespace=namespace, name=name))
        labels = await self._inventory.labels_of(namespace)
        where = coverage(self._settings.mode, namespace, labels or {})
        there = replace(self._settings, mode="enforce") if where == "enforced" else self._settings
        minor = self._inventory.minor
        deadline = asyncio.get_running_loop().time() + _DEADLINE
        decision, links = await drive_async(admit(review, "mutate", there, minor=minor), self._inventory, deadline)
        if where in NOT_CALLED:
            decision = msgspec.structs.replace(decision, patch=(), encoded_patch="")
        predicted: Raw = jsonpatch.apply_patch(created, msgspec.to_builtins(decision.patch))
        now, after = evaluate(running, minor), evaluate(predicted, minor)
        findings: list[ReportedFinding] = []
        if isinstance(decision.identity, Workload):
            if where in NOT_CALLED:
                why = f"vmguard is not called for pods of namespace {namespace}: {NOT_CALLED[where]}"
                findings.append(ReportedFinding(ADMISSION, "ok", why))
            else:
                findings += self._findings(decision, created, predicted, (now, after))
                findings += self._unlabelled(namespace, labels)
                findings += await self._chain(namespace, labels, created, whole, decision)
        diff = _diff(created, predicted) if decision.patch and self._diffs else ""
        return _Judged(decision, now, after, predicted, tuple(findings), diff, _lost(decision.identity, links))

    def _findings(
        self,
        decision: Decision,
        created: Raw,
        predicted: Raw,
        verdicts: tuple[PodSecurityVerdict, PodSecurityVerdict],
    ) -> list[ReportedFinding]:
        if decision.refused:
            return [ReportedFinding(ADMISSION, "unknown", one_line(decision.refused, _LONGEST))]
        denied = decision.outcome in {"denied", "would-deny"}
        warnings = [each for each in decision.findings if isinstance(each, Warn)]
        identity, pod = decision.identity, None
        if decision.postures and isinstance(identity, Workload):
            pod, more = self._warnings(identity, decision.postures[0], created, predicted, verdicts)
            warnings += more
        findings: list[ReportedFinding] = []
        if denied:
            text = decision.message or decision.annotations.get("decision", "").partition(": ")[2]
            rule = decision.violations[0].rule if decision.violations else ADMISSION
            findings.append(ReportedFinding(rule, "DENIED", one_line(text, _LONGEST), _fix(pod, *decision.violations)))
        else:
            findings += [
                ReportedFinding(
                    each.rule, "CHECK", one_line(f"needs a manual change: {complaint(each)}", _LONGEST), _fix(pod, each)
                )
                for each in decision.violations
            ]
        found = [each for each in dict.fromkeys(warnings) if each.rule not in _ELSEWHERE]
        return [*findings, *(_of_warning(each, _fix(pod, each)) for each in found)]

    def _warnings(
        self,
        workload: Workload,
        posture: Posture,
        created: Raw,
        predicted: Raw,
        verdicts: tuple[PodSecurityVerdict, PodSecurityVerdict],
    ) -> tuple[FlawedPod, list[Warn]]:
        """A pod as rules make fixes for it, and what the rules for predicted pods find in it as it is admitted."""
        minor = self._inventory.minor
        subject = subject_of(workload, msgspec.convert(created, Pod), self._settings, minor)
        spec = predicted["spec"]
        whole = {**predicted, "spec": {**spec, **{group: objects_of(spec.get(group)) for group in _LISTS}}}
        filling = nested(wanted_context(subject, posture)[1])
        users = {} if subject.run_as_platform else image_users(posture.component)
        previewed = PreviewedPod(whole, minor, *verdicts, filling=filling, image_users=users)
        warnings = [each for each in check_preview(previewed, posture) if isinstance(each, Warn)]
        return flawed_pod(workload, posture, whole, subject), warnings

    async def _chain(
        self,
        namespace: str,
        labels: dict[str, str | None] | None,
        created: Raw,
        whole: Raw | None,
        decision: Decision,
    ) -> list[ReportedFinding]:
        """What the rest of the API server's admission makes of the pod, as far as it is known."""
        if self._verifier and whole:
            return await self._verifier.check(namespace, whole, decision)
        return self._foreign(namespace, labels, created)

    def _unlabelled(self, namespace: str, labels: dict[str, str | None] | None) -> list[ReportedFinding]:
        """What is not known because the labels of a namespace are not; None for such."""
        if labels is not None or namespace == EXCLUDED:
            return []
        why = self._inventory.why_no_labels(namespace)
        text = f"the labels of namespace {namespace} could not be read ({without_advice(why)}), and they decide whether"
        text = f"{text} vmguard is called for its pods and what it denies"
        right = '{apiGroups: [""], resources: ["namespaces"], verbs: ["get"]}'
        fix = f"# the rule that a ClusterRole for the audit needs\n{right}\n"
        return [ReportedFinding(ADMISSION, "unknown", one_line(text, _LONGEST), fix)]

    def _foreign(
        self, namespace: str, labels: dict[str, str | None] | None, pod: Raw, *, any_pod: bool = False
    ) -> list[ReportedFinding]:
        """What is not known because of others that change pods; with `any_pod` no label of the pod is known."""
        why = next(filter(None, map(self._inventory.unreadable.get, foreign_mutations.KINDS)), "")
        if why:
            text = f"whether other webhooks or policies change this pod is not known: {why}"
            return [ReportedFinding(ADMISSION, "unknown", one_line(text, _LONGEST))]
        own = None if any_pod else object_of(metadata_of(pod).get("labels"))
        names = self._inventory.foreign.of_pod(namespace, labels, own)
        if not names:
            return []
        text = f"others change this pod too, by webhook or policy ({names}): what they change is not known here"
        fix = "vmguard audit --verify  # asks the API server by a dry run\n"
        return [ReportedFinding(ADMISSION, "unknown", text, fix)]

    async def _add_resource(self, resource: Raw) -> None:
        metadata = metadata_of(resource)
        namespace, name = str(metadata.get("namespace") or "default"), str(metadata.get("name"))
        review = decode(review_of(resource, uid="audit", namespace=namespace, name=name))
        labels = await self._inventory.labels_of(namespace)
        where = coverage(self._settings.mode, namespace, labels or {})
        steps = admit(review, "validate", self._settings, minor=self._inventory.minor)
        deadline = asyncio.get_running_loop().time() + _DEADLINE
        try:
            decision, _ = await drive_async(steps, self._inventory, deadline)
        except BROKEN as error:
            self.fail(namespace, f"{resource.get('kind')} {namespace}/{name}: {broken(error)}")
            return
        if decision.refused or decision.outcome in {"unknown", "unknown-kind"}:
            why = decision.refused or decision.annotations.get("decision", "")
            self.fail(namespace, f"{resource.get('kind')} {namespace}/{name}: {why}")
            return
        if not decision.allowed and not decision.predicted_levels:
            self._add_denied(resource, namespace, name, decision)
            return
        for posture, levels in zip(decision.postures, decision.predicted_levels, strict=False):
            called = where not in NOT_CALLED
            self._add_predicted(resource, namespace, name, posture, levels, decision, labels, called=called)

    def _add_denied(self, resource: Raw, namespace: str, name: str, decision: Decision) -> None:
        """Rows for the components of a resource that is denied, and of which no pod can be predicted."""
        spec = object_of(resource.get("spec"))
        for component in BY_KIND.get(str(resource.get("kind")), ()):
            row = self._row(Workload(component.kind, namespace, name, component, "", spec))
            rule = decision.violations[0].rule if decision.violations else ADMISSION
            fix = _fix_in_resource(resource, row.workload, decision.violations)
            self._add_finding(row, ReportedFinding(rule, "DENIED", one_line(decision.message, _LONGEST), fix))
            self._uncertain.add(namespace)
            if not row.now:
                row.now, row.after = [LEVELS[0]], [LEVELS[0]]

    def _add_predicted(
        self,
        resource: Raw,
        namespace: str,
        name: str,
        posture: Posture,
        levels: PredictedLevels | None,
        decision: Decision,
        labels: dict[str, str | None] | None,
        *,
        called: bool,
    ) -> None:
        component = posture.component
        if str(resource.get("kind")) in PARENTS or (namespace, component.kind, name, component.name) in self._rows:
            return  # the children of a parent are resources of their own
        spec = object_of(resource.get("spec"))
        part = component.part_of(spec)
        workload = Workload(component.kind, namespace, name, component, component.controller_in(part), spec)
        row = self._row(workload)
        if levels is None:
            finding = ReportedFinding(
                "workload", "unknown", "no pod of it runs, and the resource is too large to predict one"
            )
            row.findings[finding.id, finding.text] = finding
            row.verdict, row.now, row.after = "unknown", ["privileged"], ["privileged"]
            self._uncertain.add(namespace)
            return
        row.now = [LEVELS[levels.before.level]]
        row.after = [LEVELS[levels.after.level if called else levels.before.level]]
        row.not_restricted = [str(reason) for reason in levels.after.reasons]
        self.add_level(namespace, row.after[0])
        untouched = posture.security_context == "off" and posture.api_access == "automount"
        row.verdict = "changes" if called and not untouched else "ok"
        fixes = {each.finding.text: each.fix for each in levels.flaws if isinstance(each.finding, Warn)}
        for each in decision.findings if called else ():
            if isinstance(each, Violation):
                fix = next((of.fix for of in levels.flaws if of.finding is each), None)
                text = fix_text(fix) or _fix_in_resource(resource, row.workload, [each])
                self._add_finding(row, ReportedFinding(each.rule, "DENIED", one_line(each.why, _LONGEST), text))
            elif isinstance(each, Warn) and each.rule != _BY_LEVELS:
                what = each.text.removeprefix(PODS_DENIED)
                about = what.partition(": ")[0].split(", ")
                if len(decision.postures) == 1 or component.name in about:
                    text = fix_text(fixes.get(what)) or _fix_in_resource(resource, row.workload, [each])
                    self._add_finding(row, _of_warning(each, text))
        uncertain = self._foreign(namespace, labels, {}, any_pod=True) if called else []
        uncertain += self._unlabelled(namespace, labels)
        if namespace in self._not_judged:
            text = f"pods of namespace {namespace} could not be judged, and may be of this workload"
            uncertain.append(ReportedFinding("workload", "unknown", text))
        for finding in uncertain:
            row.findings.setdefault((finding.id, finding.text), finding)
            self._uncertain.add(namespace)
            row.verdict = "unknown" if row.verdict in {"changes", "ok"} else row.verdict

    def _add_finding(self, row: _Row, finding: ReportedFinding) -> None:
        row.findings.setdefault((finding.id, finding.text), finding)
        row.verdict = worst([row.verdict, finding.verdict])

    def _row(self, workload: Workload) -> _Row:
        key = workload.namespace, workload.kind, workload.name, workload.component.name
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row(workload)
        return row

    def _show(self, row: _Row, judged: _Judged, findings: Iterable[ReportedFinding]) -> None:
        """Add one pod to its row; the changes and the diff of the row are those of the pod with the most changes."""
        row.now.append(LEVELS[judged.now.level])
        row.after.append(LEVELS[judged.after.level])
        row.verdict = worst([row.verdict, "changes" if judged.decision.patch else "ok"])
        uncertain = False
        for each in findings:
            row.findings.setdefault((each.id, each.text), each)
            uncertain = uncertain or each.verdict == "unknown"
            row.verdict = worst([row.verdict, each.verdict]) if each.verdict != "unknown" else row.verdict
        if uncertain and row.verdict in {"changes", "ok"}:
            row.verdict = "unknown"
        if uncertain:
            self._uncertain.add(row.workload.namespace)
        changes = judged.decision.changes if judged.decision.patch else ()
        if len(changes) > row.worst:
            row.worst = len(changes)
            row.changes = changes
            row.not_restricted = [str(reason) for reason in judged.after.reasons]
            row.diff = judged.diff
            row.predicted = judged.predicted if self._diffs else None

    def fail(self, namespace: str, why: str, pods: int = 0) -> None:
        """Note what could not be judged: pods of a namespace, or 0 for other objects."""
        before = self._not_judged.get(namespace)
        why = before.why if before else one_line(why, _LONGEST)
        self._not_judged[namespace] = NotJudged(self._cluster, namespace, (before.pods if before else 0) + pods, why)

    def _reported(self, row: _Row) -> AuditedWorkload:
        workload = row.workload
        findings = sorted(row.findings.values(), key=lambda each: (VERDICTS.index(each.verdict), each.id, each.text))
        first = next((each for each in findings if each.verdict == row.verdict), findings[0] if findings else None)
        now, after = lowest(row.now), lowest(row.after)
        stays = f"{row.not_restricted[0]}: {after}" if row.not_restricted and after != "restricted" else ""
        return AuditedWorkload(
            cluster=self._cluster,
            namespace=workload.namespace,
            kind=workload.kind,
            name=workload.name,
            component=workload.component.name,
            controller=workload.workload,
            pods=row.pods,
            level_now=now,
            level_after=after,
            verdict=row.verdict,
            first_reason=one_line(first.text if first else stays, _LONGEST),
            changes=[pod_change(each) for each in row.changes],
            findings=findings,
            not_restricted=row.not_restricted,
            diff=row.diff,
            predicted=row.predicted,
            parent=str(workload.parentage.parent or ""),
        )


def _lost(identity: Identity | None, links: Sequence[Link]) -> str:
    """Why a pod with the operator's labels has no owner: an object of its chain is not there. "" for no such pod."""
    gone = bool(links) and isinstance(links[-1].fact, Absent | NotServed)
    return f"it has the operator's labels, but {identity.reason}" if _is_labelled(identity) and gone else ""


def _is_labelled(identity: Identity | None) -> TypeGuard[Unmanaged]:
    return isinstance(identity, Unmanaged) and identity.labelled


def _not_judgeable(identity: Identity | None) -> str:
    """Why a pod that may be the operator's cannot be judged, "" for none."""
    if isinstance(identity, UnknownOwner):
        return identity.reason
    if isinstance(identity, UnknownKind):
        return f"{identity.owner}: this version of vmguard does not know the kind"
    return ""


_LISTS = ("containers", "initContainers", "volumes")


def worst(verdicts: Iterable[AuditVerdict]) -> AuditVerdict:
    """The worst of some verdicts."""
    return min(verdicts, key=VERDICTS.index)


def lowest(levels: Iterable[LevelName]) -> LevelName:
    """The loosest of some Pod Security levels."""
    return min(levels, key=LEVELS.index)


def worst_first(workload: AuditedWorkload) -> tuple[Any, ...]:
    """The order of workloads in a report."""
    each = workload
    return VERDICTS.index(each.verdict), each.cluster, each.namespace, each.kind, each.name, each.component


def _of_warning(warning: Warn, fix: str) -> ReportedFinding:
    return ReportedFinding(warning.rule, _SEVERITY.get(warning.rule, "CHECK"), one_line(warning.text, _LONGEST), fix)


def _fix(pod: FlawedPod | None, *findings: Violation | Warn) -> str:
    """What someone can copy for findings on one pod."""
    fix = all_of(fix_of(each, pod) for each in findings) if pod else None
    return fix_text(placed(fix, pod.workload)) if pod and fix else ""


def _fix_in_resource(resource: Raw, workload: Workload, findings: Iterable[Violation | Warn]) -> str:
    """What someone can copy for findings on a resource as it is written."""
    fix = all_of(resource_fix_of(each, ResourceObject(workload.kind, resource)) for each in findings)
    return fix_text(placed(fix, workload)) if fix else ""


def _as_created(pod: Raw) -> Raw:
    """A running pod as it is created again: without its state, and without containers that were added to debug it."""
    spec = {field: value for field, value in pod["spec"].items() if field != "ephemeralContainers"}
    metadata = {field: value for field, value in metadata_of(pod).items() if field not in {"uid", "deletionTimestamp"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _identical(namespace: str, pod: Raw) -> bytes:
    """What identical pods have in common: all but their names and the names that follow from them."""
    metadata = {field: value for field, value in metadata_of(pod).items() if field not in {"name", "uid"}}
    labels = {key: value for key, value in object_of(metadata.get("labels")).items() if key not in _LABELS_OF_ONE_POD}
    volumes = [_without_name(each) for each in objects_of(pod["spec"].get("volumes"))]
    spec = {**pod["spec"], "volumes": volumes}
    text = msgspec.json.encode((namespace, {**metadata, "labels": labels}, spec))
    generated = next((str(each.get("name")) for each in volumes if _is_generated(each)), "")
    return text.replace(msgspec.json.encode(generated), b'"kube-api-access-"') if generated else text


_LABELS_OF_ONE_POD = frozenset({"apps.kubernetes.io/pod-index", "statefulset.kubernetes.io/pod-name"})


def _without_name(volume: Raw) -> Raw:
    return {**volume, "persistentVolumeClaim": {}} if "persistentVolumeClaim" in volume else volume


def _is_generated(volume: Raw) -> bool:
    return str(volume.get("name")).startswith(PLUGIN_PREFIX)


def _diff(before: Raw, after: Raw) -> str:
    """Unified diff of what is read of the pod."""
    lines = unified_diff(as_yaml(before).splitlines(), as_yaml(after).splitlines(), "now", "after", lineterm="")
    return "\n".join(lines) + "\n"
