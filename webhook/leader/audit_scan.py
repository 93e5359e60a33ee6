"""The survey: it reports noncompliant running VictoriaMetrics pods in a gauge and a log line.

Only the survey finds pods that are older than vmguard, or that passed without it. It judges each pod like `/validate`,
with the same code as every admission. It changes and denies nothing. It takes facts from the caches. It reads other
facts once in each survey, over the leader's own connection, so that no admission waits.

Where the API server does not call vmguard, only the survey knows of the pods. It names exempt namespaces, and the
VictoriaMetrics pods in kube-system.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from webhook.admission.admission_review import ReviewError, review_of_pod
from webhook.admit import admit
from webhook.cluster.client import Client
from webhook.cluster.listing import FAILURES
from webhook.cluster.running_pods import running
from webhook.driver import drive_async
from webhook.facts import FactSource, Found, Lookup, Names, Ref, Resolved, Unknown
from webhook.policy.decide import Decision
from webhook.policy.enforcement import EXCLUDED, EXEMPT, EXEMPT_VALUE, NOT_CALLED, Coverage, coverage, not_allowed
from webhook.policy.findings import Change, Violation
from webhook.policy.recreated import warnings_before_recreation
from webhook.policy.resource_events import ResourceEvent, of_running_pod
from webhook.policy.wording import not_compliant, warning_line
from webhook.policy.workload import UnknownKind, Workload
from webhook.settings import Settings
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics
from webhook.text import one_line

EVERY = 300.0
"""Seconds from the end of a survey to the next."""

TRY_AGAIN = 30.0
"""Seconds until the next attempt after a failed survey."""

REMIND = 3600.0
"""Seconds until the log line is written again without a change."""

MOST_NAMED = 20
"""Most workloads that one log line names, some of every namespace."""

LOOK_UPS = 100
"""Most objects of one namespace that one survey looks up; pods that need more count as not judged."""

MOST_KINDS = 50
"""Most pairs of namespace and unknown kind that one survey counts separately; a tenant can write any kind."""

OTHER_KINDS = "other"
"""The kind for the pods of further pairs."""

MOST_NAMESPACES = 50
"""Most namespaces of one metric that one survey counts separately; all others count together, without a name."""

_ADVICE: Mapping[Coverage, str] = {
    "enforced": "",
    "trial": "; the namespace is in a trial, so vmguard would not fill a new pod either",
    "exempt": "; the namespace is exempt, so vmguard would not fill a new pod either",
    "excluded": f"; vmguard is not called for pods of {EXCLUDED}",
}
"""What a person must know before a restart of a workload's pods."""

_NOT_COVERED = "for which the API server does not call vmguard"

_DEADLINE = 20.0
"""Seconds for the facts on one pod."""

_LONGEST = 500

_MOST_LOOKED_INTO = 3
_LARGEST_LOOKED_INTO = 32 * 1024
"""Pods of one namespace, and their bytes: what a tenant's pods cost here delays admissions."""

_MOST_RISKS = 2
_LONGEST_RISK = 256
"""Warnings about one pod in the log line, and the characters of each."""

NamespaceAndKind = tuple[str, str]
"""Namespace, and kind of the operator's resource."""


@dataclass(slots=True)
class Wrong:
    """The noncompliant pods of one workload: their number, the name of one, and what is wrong with it.

    `risks` are the warnings about that pod that count when it is created again.
    """

    namespace: str
    pods: int
    example: str
    why: str
    where: Coverage = "enforced"
    risks: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = f" and {self.pods - 1} more" if self.pods > 1 else ""
        risks = f"; before it is created again: {'; '.join(self.risks)}" if self.risks else ""
        return f"{self.example}{more}: {self.why}{_ADVICE[self.where]}{risks}"


@dataclass(slots=True)
class Result:
    """The result of one survey. `wrong` is by workload, `unknown` (pods that could not be judged) by namespace.

    `exempt` are the names of all exempt namespaces, `mislabelled` those with a label value that vmguard does not know,
    and the reason. `uncovered` counts the VictoriaMetrics pods in exempt
    namespaces and in kube-system, where the API server does not call vmguard. `excluded` counts those in kube-system by
    workload. `looked_into` counts by namespace the pods for which the survey knows what breaks when they are created
    again.
    """

    judged: Counter[NamespaceAndKind] = field(default_factory=Counter)
    noncompliant: Counter[NamespaceAndKind] = field(default_factory=Counter)
    wrong: dict[str, Wrong] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    unknown_kinds: Counter[NamespaceAndKind] = field(default_factory=Counter)
    unknown_why: str = ""
    exempt: tuple[str, ...] = ()
    mislabelled: Mapping[str, str] = field(default_factory=dict)
    uncovered: Counter[str] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)
    looked_into: Counter[str] = field(default_factory=Counter)

    @property
    def trouble(self) -> bool:
        """Whether a person must act."""
        return bool(self.wrong or self.unknown or self.unknown_kinds or self.exempt or self.excluded)


class LabelledNamespaces(NamedTuple):
    """The names of exempt namespaces, and those where a label of vmguard has a value that is not allowed, and why."""

    exempt: Iterable[str] = ()
    mislabelled: Mapping[str, str] = {}


class AuditScan:
    """Surveys one cluster, or the watched namespaces. `trouble` is the reason of a failure, "" for none.

    `labelled_namespaces` are those of a cluster that is watched whole. With WATCH_NAMESPACE the survey reads the labels
    of each namespace. `offer` takes an event on a resource. `exempt`, `mislabelled` and `excluded` are from the last
    survey, for readiness.
    """

    def __init__(
        self,
        client: Client,
        source: FactSource,
        is_owner: Callable[[Ref], bool],
        settings: Settings,
        log: Log,
        metrics: Metrics,
        *,
        labelled_namespaces: Callable[[], LabelledNamespaces] = LabelledNamespaces,
        offer: Callable[[ResourceEvent], None] | None = None,
    ) -> None:
        self._client = client
        self._source = source
        self._is_owner = is_owner
        # the survey denies nothing, so it reads nothing again; under deny no label of a namespace matters
        self._settings = replace(settings, mode="audit", enforce="deny")
        self._mode = settings.mode
        self._labelled_namespaces = labelled_namespaces
        self._offer = offer
        self._log = log
        self._metrics = metrics
        self._told: Result | None = None
        self._told_at = 0.0
        self.trouble = ""
        self.exempt: tuple[str, ...] = ()
        self.mislabelled: Mapping[str, str] = {}
        self.excluded = ""

    async def run(self) -> None:
        """Repeat the survey until this is cancelled; then remove its results from the metrics."""
        try:
            while True:
                try:
                    self._tell(await self.take())
                    self.trouble = ""
                except FAILURES as error:
                    if str(error) != self.trouble:
                        self._log.write("warning", "survey failed", reason=str(error))
                    self.trouble = str(error)
                await asyncio.sleep(TRY_AGAIN if self.trouble else EVERY)
        finally:
            self._show(Result())
            self._told, self.trouble = None, ""

    async def take(self) -> Result:
        """Judge every running pod of the operator once.

        Raises:
            NotAllowedError, ExpiredError, UnreachableError, msgspec.DecodeError: the pods cannot be listed.

        """
        result = Result()
        facts = _Once(self._source, self._is_owner)
        async for pod, raw in running(self._client, self._settings.watch_namespaces or ("",), self._is_owner):
            await asyncio.sleep(0)  # admissions go first
            await self._judge(*pod.place, pod.metadata.uid or "", raw, facts, result)
        labelled = await self._labelled(facts)
        result.exempt, result.mislabelled = tuple(sorted(labelled.exempt)), dict(labelled.mislabelled)
        return result

    async def _labelled(self, facts: "_Once") -> LabelledNamespaces:
        """The namespaces that a label of vmguard makes noteworthy."""
        watched = self._settings.watch_namespaces
        if not watched:
            return self._labelled_namespaces()
        labels = {namespace: await self._labels(namespace, facts) for namespace in watched}
        mislabelled = {each: why for each in watched if (why := not_allowed(labels[each]))}
        for namespace, why in mislabelled.items():
            if self.mislabelled.get(namespace) != why:
                self._log.write("warning", "namespace label not known", namespace=namespace, reason=why)
        return LabelledNamespaces(
            [each for each in watched if coverage(self._mode, each, labels[each]) == "exempt"], mislabelled
        )

    async def _coverage(self, namespace: str, facts: "_Once") -> Coverage:
        """What vmguard does for new pods of a namespace; if its labels cannot be read, the setting counts."""
        return coverage(self._mode, namespace, await self._labels(namespace, facts))

    async def _labels(self, namespace: str, facts: "_Once") -> Mapping[str, str | None]:
        """The labels of a namespace, none if they cannot be read."""
        lookup = Lookup(Ref("", "v1", "Namespace", "", namespace))
        fact = facts.cached(lookup) or await facts.get(lookup, asyncio.get_running_loop().time() + _DEADLINE)
        return (fact.object.metadata.labels or {}) if isinstance(fact, Found) else {}

    async def _judge(
        self, namespace: str, name: str, uid: str, raw: msgspec.Raw, facts: "_Once", result: Result
    ) -> None:
        deadline = asyncio.get_running_loop().time() + _DEADLINE
        try:
            review = review_of_pod(raw, uid=uid, namespace=namespace, name=name)
            steps = admit(review, "validate", self._settings, minor=facts.minor)
            decision, links = await drive_async(steps, facts, deadline)
        except ReviewError as error:
            result.unknown[namespace] += 1
            result.unknown_why = one_line(f"{namespace}/{name}: {error}", _LONGEST)
            return
        if decision.outcome == "unknown":
            result.unknown[namespace] += 1
            result.unknown_why = one_line(f"{namespace}/{name}: {decision.annotations['decision']}", _LONGEST)
        identity = decision.identity
        if isinstance(identity, UnknownKind):
            known = (namespace, identity.kind) in result.unknown_kinds or len(result.unknown_kinds) < MOST_KINDS
            result.unknown_kinds[namespace if known else "", identity.kind if known else OTHER_KINDS] += 1
        where = await self._coverage(namespace, facts)
        event = of_running_pod(decision, links, where) if self._offer else None
        if self._offer and event:
            self._offer(event)
        if where in NOT_CALLED and isinstance(identity, Workload | UnknownKind):
            result.uncovered[namespace] += 1
            if where == "excluded":
                result.excluded[_named_workload(identity)] += 1
        if not isinstance(identity, Workload):
            return
        key = namespace, identity.kind
        result.judged[key] += 1
        left: list[Change | Violation] = [*decision.changes, *decision.violations]
        if not left:
            return
        result.noncompliant[key] += 1
        workload = _named_workload(identity)
        if workload not in result.wrong:
            why = one_line(not_compliant(left), _LONGEST)
            risks = self._risks(namespace, decision, raw, facts.minor, result) if where == "enforced" else ()
            result.wrong[workload] = Wrong(namespace, 0, name, why, where, risks)
        result.wrong[workload].pods += 1

    def _risks(
        self, namespace: str, decision: Decision, raw: msgspec.Raw, minor: int, result: Result
    ) -> tuple[str, ...]:
        """The first warnings about a pod that vmguard fills once it is created again; () for a large pod."""
        if result.looked_into[namespace] == _MOST_LOOKED_INTO or len(raw) > _LARGEST_LOOKED_INTO:
            return ()
        result.looked_into[namespace] += 1
        found = warnings_before_recreation(decision, msgspec.json.decode(raw), self._settings, minor)
        return tuple(warning_line(each.rule, each.text, _LONGEST_RISK) for each in found[:_MOST_RISKS])

    def _tell(self, result: Result) -> None:
        self._show(result)
        self._metrics.surveyed.set_to_current_time()
        now, before = asyncio.get_running_loop().time(), self._told
        changed = before is None or _gist(before) != _gist(result)
        if not changed and (now < self._told_at + REMIND or not result.trouble):
            return
        self._told, self._told_at = result, now
        named = _of_each_namespace(result.wrong)[:MOST_NAMED]
        more = {"more_workloads": len(result.wrong) - MOST_NAMED} if len(result.wrong) > MOST_NAMED else {}
        unknown = {"unknown": result.unknown.total(), "unknown_why": result.unknown_why}
        kinds = sorted(result.unknown_kinds.items())[:MOST_NAMED]
        unknown_kinds = [
            f"{kind} in {namespace or 'several namespaces'}: {count}" for (namespace, kind), count in kinds
        ]
        self._log.write(
            "warning" if result.trouble else "info",
            "survey",
            pods=result.judged.total(),
            noncompliant=result.noncompliant.total(),
            workloads=[f"{name}: {each}" for name, each in named],
            **more,
            **unknown if result.unknown else {},
            **{"unknown_kinds": unknown_kinds} if unknown_kinds else {},
            **_first("exempt", result.exempt),
            **{"not_covered": result.uncovered.total()} if result.uncovered else {},
            **_first("excluded", [f"{name}: {count}" for name, count in sorted(result.excluded.items())]),
        )

    def _show(self, result: Result) -> None:
        metrics = self._metrics
        noncompliant, unknown, unknown_kinds = metrics.noncompliant, metrics.unjudged, metrics.unknown_kinds
        exempt, mislabelled, uncovered = metrics.exempt, metrics.mislabelled, metrics.uncovered
        for gauge in (noncompliant, unknown, unknown_kinds, exempt, mislabelled, uncovered):
            gauge.clear()
        for key in result.judged:
            noncompliant.labels(*key).set(result.noncompliant[key])
        for namespace, count in result.unknown.items():
            unknown.labels(namespace).set(count)
        for key, count in result.unknown_kinds.items():
            unknown_kinds.labels(*key).set(count)
        for gauge, counts in (
            (exempt, Counter(result.exempt)),
            (mislabelled, Counter(result.mislabelled.keys())),
            (uncovered, result.uncovered),
        ):
            for namespace, count in _bounded(counts).items():
                gauge.labels(namespace).set(count)
        self.exempt, self.mislabelled = result.exempt, result.mislabelled
        pods, workloads = result.excluded.total(), named(sorted(result.excluded))
        self.excluded = f"{pods} running pods in {EXCLUDED}, {_NOT_COVERED}: {workloads}" if pods else ""


def _gist(result: Result) -> object:
    """The part of a result that counts as a change: workloads and counts, but not the name of the example pod."""
    wrong = {name: (each.pods, each.why, each.where) for name, each in result.wrong.items()}
    return wrong, result.unknown, result.unknown_kinds, result.exempt, result.excluded


def named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def namespace_notes(mislabelled: Mapping[str, str]) -> dict[str, str]:
    """The lines of readiness on the first namespaces with an unknown label, by the name of the line."""
    return {f"namespace {name}": why for name, why in islice(mislabelled.items(), MOST_NAMED)}


def exempt_note(names: Sequence[str]) -> str:
    """The text of readiness on exempt namespaces, "" for none."""
    return f"{named(names)}: vmguard secures nothing there, by the label {EXEMPT}={EXEMPT_VALUE}" if names else ""


def _named_workload(identity: Workload | UnknownKind) -> str:
    return f"{identity.component.name} of {identity}" if isinstance(identity, Workload) else identity.owner


def _first(key: str, names: Sequence[str]) -> dict[str, Any]:
    """Fields of a log line: the first names, and how many more there are."""
    more = {f"more_{key}": len(names) - MOST_NAMED} if len(names) > MOST_NAMED else {}
    return {key: list(names[:MOST_NAMED]), **more} if names else {}


def _bounded(counts: Counter[str]) -> Counter[str]:
    """Counts of the first namespaces by name, and of all others together under the name ""."""
    bounded: Counter[str] = Counter()
    for index, namespace in enumerate(sorted(counts)):
        bounded[namespace if index < MOST_NAMESPACES else ""] += counts[namespace]
    return bounded


def _of_each_namespace(wrong: dict[str, Wrong]) -> list[tuple[str, Wrong]]:
    """The first of each namespace, then the second of each, and so on: no namespace can displace the others."""
    before: Counter[str] = Counter()
    ranked: list[tuple[int, str, Wrong]] = []
    for name, each in sorted(wrong.items(), key=lambda item: item[0]):
        ranked.append((before[each.namespace], name, each))
        before[each.namespace] += 1
    return [(name, each) for _, name, each in sorted(ranked, key=lambda entry: entry[:2])]


class _Once:
    """Facts of a source, each resolved once in a survey; at most LOOK_UPS that are not cached for each namespace."""

    labels_suffice = False

    def __init__(self, source: FactSource, knows: Callable[[Ref], bool]) -> None:
        self._source = source
        self._knows = knows
        self._looked_up: Counter[str] = Counter()
        self._facts: dict[Ref, Resolved] = {}

    @property
    def minor(self) -> int:
        """The cluster's 1.x minor version."""
        return self._source.minor

    def cached(self, lookup: Lookup | Names) -> Resolved | None:
        """The fact on an object that this survey has looked up before; no names, because no message shows them."""
        return () if isinstance(lookup, Names) else self._facts.get(lookup.ref)

    async def get(self, lookup: Lookup | Names, deadline: float) -> Resolved:
        """The fact on one object, of any generation."""
        ref = lookup.ref
        if ref.namespace and not self._knows(ref) and self._looked_up[ref.namespace] >= LOOK_UPS:
            return Unknown(f"one survey looks up no more than {LOOK_UPS} objects of a namespace", "live")
        fact = self._facts[ref] = await self._source.get(_of_any_generation(lookup), deadline)
        self._looked_up[ref.namespace] += not isinstance(fact, tuple) and fact.source == "live"
        return fact


def _of_any_generation(lookup: Lookup | Names) -> Lookup | Names:
    return msgspec.structs.replace(lookup, generation="") if isinstance(lookup, Lookup) else lookup
