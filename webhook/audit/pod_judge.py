"""Decides on a pod of a cluster as at an admission, and finds the evidence that identical pods share.

Pods of one workload that are identical apart from names are decided on once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

import msgspec

from webhook.admission.admission_review import decode, review_of
from webhook.admit import admit
from webhook.audit import admission_chain, foreign_mutations
from webhook.audit.admission_chain import ID as ADMISSION
from webhook.audit.fixes import Copyable, copyable, reported
from webhook.audit.inventory import Inventory, metadata_of
from webhook.audit.lower_level import ID as LOWER_LEVEL
from webhook.audit.lower_level import lower_level
from webhook.audit.odd_objects import BROKEN, broken
from webhook.audit.report import AuditVerdict, ReportedFinding
from webhook.audit.verify import Verifier
from webhook.cluster.permission import without_advice
from webhook.driver import drive_async
from webhook.facts import Absent, NotServed
from webhook.latest import Latest
from webhook.objects import Pod
from webhook.offline.judge import apply, pod_diff
from webhook.podsecurity import Verdict as PodSecurityVerdict
from webhook.podsecurity import evaluate
from webhook.policy.decide import Decision
from webhook.policy.enforcement import EXCLUDED, NOT_CALLED, in_namespace
from webhook.policy.findings import Violation, Warn
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.placed_fix import all_of, placed
from webhook.policy.pod_subject import flawed_pod, previewed_pod, subject_of
from webhook.policy.posture import Posture
from webhook.policy.rules import check_preview, check_running, fix_of
from webhook.policy.rules.subject import FlawedPod, PreviewedPod
from webhook.policy.token_volume import PLUGIN_PREFIX
from webhook.policy.wording import complaint
from webhook.policy.workload import Identity, Link, UnknownKind, UnknownOwner, Unmanaged, Workload
from webhook.settings import Settings
from webhook.text import one_line

_MOST_JUDGED = 200
"""Different pods whose judgement is cached; pods of one workload come one after another."""

DEADLINE = 30.0
"""Seconds for the facts on one object."""

LONGEST = 500
"""Characters of a text in a report."""

_SEVERITY: Mapping[str, AuditVerdict] = {"sidecar": "ok", "ignored-strict": "ok"}
"""What a warning of a rule that is not fatal means for the pods of a workload; CHECK for all other rules."""


WarningsOf = Callable[[PreviewedPod, Posture], list[Warn]]


class JudgedPod(msgspec.Struct, frozen=True):
    """What holds for identical pods: the decision, the pod as it is and will be, and all that does not differ.

    `why_not` is why a pod that may be the operator's cannot be judged, "" for none.
    """

    decision: Decision
    now: PodSecurityVerdict
    after: PodSecurityVerdict
    predicted: Raw
    findings: tuple[ReportedFinding, ...]
    diff: str
    why_not: str = ""


class PodJudge:
    """Judges the pods of one cluster. Without `diffs` what it finds has no diff."""

    def __init__(self, inventory: Inventory, settings: Settings, verifier: Verifier | None, *, diffs: bool) -> None:
        self._inventory = inventory
        self._settings = settings
        self._verifier = verifier
        self._diffs = diffs
        self._judged: Latest[bytes, JudgedPod] = Latest(_MOST_JUDGED)

    async def judge(self, namespace: str, pod: Raw, whole: Raw | None) -> JudgedPod | str:
        """What holds for a trimmed pod and all that are identical; the reason where it cannot be judged.

        `whole` is all of the pod, for a dry run.
        """
        try:
            key = _identical(namespace, pod)
            found = self._judged.get(key)
            if found is not None:
                return found
            judged = await self._decide(namespace, _as_created(pod), pod, whole, check_running)
        except BROKEN as error:
            return broken(error)
        self._judged.put(key, judged)
        return judged

    async def judge_new(self, namespace: str, pod: Raw) -> JudgedPod | str:
        """The same for a pod that does not run, of which nothing ran before that is known."""
        try:
            return await self._decide(namespace, pod, pod, None, _check_new)
        except BROKEN as error:
            return broken(error)

    async def _decide(
        self, namespace: str, created: Raw, running: Raw, whole: Raw | None, check: WarningsOf
    ) -> JudgedPod:
        name = str(metadata_of(created).get("name") or "")
        review = decode(review_of(created, uid="audit", namespace=namespace, name=name))
        labels = await self._inventory.labels_of(namespace)
        where, there = in_namespace(self._settings, namespace, labels or {})
        minor = self._inventory.minor
        deadline = asyncio.get_running_loop().time() + DEADLINE
        decision, links = await drive_async(admit(review, "mutate", there, minor=minor), self._inventory, deadline)
        if where in NOT_CALLED:
            decision = msgspec.structs.replace(decision, patch=(), encoded_patch="")
        predicted = apply(created, decision)
        now, after = evaluate(running, minor), evaluate(predicted, minor)
        findings: list[ReportedFinding] = []
        if isinstance(decision.identity, Workload):
            if where in NOT_CALLED:
                why = f"vmguard is not called for pods of namespace {namespace}: {NOT_CALLED[where]}"
                findings.append(ReportedFinding(ADMISSION, "ok", why, admission_chain.calling(namespace)))
            else:
                findings += self._findings(decision, created, predicted, (now, after), check)
                findings += self._lower_level(decision, created, (now, after))
                findings += self.unread_labels(namespace, labels)
                findings += await self._chain(namespace, labels, created, whole, decision)
        diff = pod_diff(created, predicted, "now", "after") if decision.patch and self._diffs else ""
        why_not = _lost(decision.identity, links) or _not_judgeable(decision.identity)
        return JudgedPod(decision, now, after, predicted, tuple(findings), diff, why_not)

    def _findings(
        self,
        decision: Decision,
        created: Raw,
        predicted: Raw,
        verdicts: tuple[PodSecurityVerdict, PodSecurityVerdict],
        check: WarningsOf,
    ) -> list[ReportedFinding]:
        if decision.refused:
            fix = admission_chain.right("", "namespaces", "get")
            return [ReportedFinding(ADMISSION, "unknown", one_line(decision.refused, LONGEST), fix)]
        warnings = [each for each in decision.findings if isinstance(each, Warn)]
        identity, pod = decision.identity, None
        if decision.postures and isinstance(identity, Workload):
            (posture, *_) = decision.postures
            subject = subject_of(identity, msgspec.convert(created, Pod), self._settings, self._inventory.minor)
            previewed = previewed_pod(subject, posture, predicted, verdicts)
            warnings += check(previewed, posture)
            pod = flawed_pod(identity, posture, previewed.pod, subject)
        findings = denials_of(decision, self._fix(pod, *decision.violations))
        if not findings:
            findings = [of_violation(each, complaint(each), self._fix(pod, each)) for each in decision.violations]
        return [*findings, *(of_warning(each, self._fix(pod, each)) for each in dict.fromkeys(warnings))]

    def _lower_level(
        self, decision: Decision, created: Raw, verdicts: tuple[PodSecurityVerdict, PodSecurityVerdict]
    ) -> list[ReportedFinding]:
        """That the pod reaches a lower level afterwards, and which fields make it so."""
        found = lower_level(decision, created, *verdicts, self._inventory.minor) if decision.patch else None
        if not found or not isinstance(decision.identity, Workload):
            return []
        what = copyable(placed(found[1], decision.identity), self._inventory.resource)
        return [reported(LOWER_LEVEL, "CHECK", one_line(found[0], LONGEST), what)]

    def _fix(self, pod: FlawedPod | None, *findings: Violation | Warn) -> Copyable:
        """What someone can copy for findings on one pod."""
        fix = all_of(fix_of(each, pod) for each in findings) if pod else None
        return copyable(placed(fix, pod.workload), self._inventory.resource) if pod and fix else Copyable()

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
        return self.foreign_changes(namespace, labels, created)

    def unread_labels(self, namespace: str, labels: dict[str, str | None] | None) -> list[ReportedFinding]:
        """What is not known because the labels of a namespace are not, which are None then."""
        if labels is not None or namespace == EXCLUDED:
            return []
        why = without_advice(self._inventory.why_no_labels(namespace))
        text = (
            f"the labels of namespace {namespace} could not be read ({why}), and they decide whether vmguard is called"
        )
        text = f"{text} for its pods and what it denies"
        fix = admission_chain.right("", "namespaces", "get")
        return [ReportedFinding(ADMISSION, "unknown", one_line(text, LONGEST), fix)]

    def foreign_changes(
        self, namespace: str, labels: dict[str, str | None] | None, pod: Raw, *, any_pod: bool = False
    ) -> list[ReportedFinding]:
        """What is not known because of others that change pods; with `any_pod` no label of the pod is known."""
        why = next(filter(None, map(self._inventory.unreadable.get, foreign_mutations.KINDS)), "")
        if why:
            text = f"whether other webhooks or policies change this pod is not known: {why}"
            fix = admission_chain.right("admissionregistration.k8s.io", admission_chain.MUTATIONS, "list")
            return [ReportedFinding(ADMISSION, "unknown", one_line(text, LONGEST), fix)]
        own = None if any_pod else object_of(metadata_of(pod).get("labels"))
        names = self._inventory.foreign.of_pod(namespace, labels, own)
        if not names:
            return []
        text = f"others change this pod too, by webhook or policy ({names}): what they change is not known here"
        return [ReportedFinding(ADMISSION, "unknown", text, admission_chain.ASK)]


def _check_new(pod: PreviewedPod, posture: Posture) -> list[Warn]:
    """Warnings about a new pod, but for its level, which its row says."""
    found = check_preview(pod, posture)
    return [each for each in found if isinstance(each, Warn) and each.rule != LOWER_LEVEL]


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


def denials_of(decision: Decision, what: Copyable) -> list[ReportedFinding]:
    """Why a decision denies, or would deny where the setting is audit, with what to copy; [] where it does not."""
    if not decision.denies:
        return []
    text = decision.message or decision.annotations.get("decision", "").partition(": ")[2]
    rule = decision.violations[0].rule if decision.violations else ADMISSION
    return [reported(rule, "DENIED", one_line(text, LONGEST), what)]


def of_violation(violation: Violation, text: str, what: Copyable, verdict: AuditVerdict = "CHECK") -> ReportedFinding:
    """A violation of a rule as evidence."""
    return reported(violation.rule, verdict, one_line(text, LONGEST), what)


def of_warning(warning: Warn, what: Copyable) -> ReportedFinding:
    """A warning of a rule as evidence."""
    verdict: AuditVerdict = "BREAKS" if warning.fatal else _SEVERITY.get(warning.rule, "CHECK")
    return reported(warning.rule, verdict, one_line(warning.text, LONGEST), what)


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
