"""Reports a decision: to the API server in the response, to people in log, metrics and events. It caches nothing."""

from collections.abc import Callable

from msgspec import UNSET, UnsetType

from webhook.admission.admission_review import Review, encode
from webhook.facts import Found
from webhook.name_forms import LONGEST_NAME
from webhook.policy.decide import Decision, Webhook
from webhook.policy.resource_events import REPORTED, ResourceEvent, of_admission
from webhook.policy.wording import MOST_TOLD, facts_line, with_runbook
from webhook.policy.workload import Identity, Link, UnknownKind, Workload
from webhook.telemetry.line_budget import LineBudget
from webhook.telemetry.log import Line, Log
from webhook.telemetry.metrics import Children, Metrics
from webhook.telemetry.namespace_lines import NamespaceLines
from webhook.text import one_line

_WARNED = frozenset({"denied", "unknown", "refused", "would-deny"})
"""Outcomes whose log line is a warning."""

_LONGEST_TEXT = 500


class RequestLine(Line, frozen=True):
    """A log line on a request, with the readable part of its review."""

    webhook: Webhook
    uid: str | UnsetType
    kind: str | UnsetType
    namespace: str | UnsetType | None
    name: str | UnsetType | None
    dry_run: bool | UnsetType


class DecisionLine(RequestLine, frozen=True):
    """The line `admission`."""

    facts: str
    milliseconds: float
    outcome: str
    workload: str | None
    decision: str | None
    rules: str | None
    violations: tuple[str, ...] | UnsetType
    warnings: tuple[str, ...] | UnsetType
    left_out: int | UnsetType


class RefusalLine(RequestLine, frozen=True):
    """The line `not answered`: the HTTP status, and why."""

    code: int
    reason: str
    left_out: int | UnsetType


class FailureLine(RequestLine, frozen=True):
    """The line `failed`: an error and where it happened."""

    error: str
    where: list[str]
    left_out: int | UnsetType


_Names = tuple[str | UnsetType, str | UnsetType, str | UnsetType | None, str | UnsetType | None, bool | UnsetType]


class Reporter:
    """Reports the decisions of one server, and its requests without one; `offer` takes an event to write."""

    def __init__(self, metrics: Metrics, log: Log, offer: Callable[[ResourceEvent], None] | None = None) -> None:
        self._log = log
        self._offer = offer
        self._budget = LineBudget()
        self._lines = NamespaceLines()
        self._findings = Children(metrics.findings)
        self._lookups = Children(metrics.lookups)

    def decided(
        self, webhook: Webhook, review: Review, decision: Decision, links: tuple[Link, ...], seconds: float
    ) -> bytes:
        """Count and log a decision with its seconds; return the AdmissionReview that answers `review`."""
        self._count(decision, links)
        if self._offer and decision.outcome in REPORTED:
            self._offer_event(self._offer, review, decision, links)
        facts = facts_line(links)
        answer = encode(
            review,
            allowed=decision.allowed,
            message=with_runbook(decision.message),
            patch=decision.encoded_patch,
            warnings=decision.warnings,
            annotations=decision.annotations,
            facts=facts,
        )
        level = "warning" if decision.outcome in _WARNED else "info"
        left_out = self._lines.take(_seen_namespace(review, links), level)
        if left_out is None:
            return answer
        identity, annotations = decision.identity, decision.annotations
        line = DecisionLine(
            self._log.stamp(),
            level,
            "admission",
            webhook,
            *_names(review),
            facts,
            int(seconds * 1e6) / 1000,
            decision.outcome,
            _workload(identity) or annotations.get("workload"),
            annotations.get("decision"),
            annotations.get("rules"),
            decision.tally.violations or UNSET,
            (decision.warnings[:MOST_TOLD] if review.request.kind.group else ()) or UNSET,
            left_out or UNSET,
        )
        self._log.write_line(line)
        return answer

    def refused(self, webhook: Webhook, review: Review | None, code: int, reason: str) -> None:
        """Log a request with a 4xx as its answer, unless there were many with that status recently."""
        left_out = self._budget.take(str(code))
        if left_out is None:
            return
        stamp, names, why = self._log.stamp(), _names(review), one_line(reason, _LONGEST_TEXT)
        line = RefusalLine(stamp, "warning", "not answered", webhook, *names, code, why, left_out or UNSET)
        self._log.write_line(line)

    def failed(self, webhook: Webhook, review: Review | None, error: str, where: list[str]) -> None:
        """Log a request after an error of vmguard, unless many failed in the same place recently."""
        left_out = self._budget.take(where[-1] if where else "")
        if left_out is None:
            return
        stamp, names = self._log.stamp(), _names(review)
        line = FailureLine(stamp, "error", "failed", webhook, *names, error, where, left_out or UNSET)
        self._log.write_line(line)

    @staticmethod
    def _offer_event(
        offer: Callable[[ResourceEvent], None], review: Review, decision: Decision, links: tuple[Link, ...]
    ) -> None:
        """Offer the event on the resource of a pod, unless it is a dry run, which writes nothing.

        A resource needs no event: the person who applies it reads the answer.
        """
        request = review.request
        if request.kind.group or request.dry_run is True:
            return
        event = of_admission(decision, links)
        if event is not None:
            offer(event)

    def _count(self, decision: Decision, links: tuple[Link, ...]) -> None:
        lookups: dict[tuple[str, str], int] = {}
        for link in links:
            resolved = link.fact.result, link.fact.source
            lookups[resolved] = lookups.get(resolved, 0) + 1
        for result_and_source, count in lookups.items():
            self._lookups[result_and_source].inc(count)
        for labels, count in decision.tally.counts:
            self._findings[labels].inc(count)


def _seen_namespace(review: Review, links: tuple[Link, ...]) -> str:
    """The namespace of a request if an object in it was found, "" if a client may have invented it."""
    namespace = review.request.namespace or ""
    is_seen = any(type(link.fact) is Found and link.ref.namespace == namespace for link in links)
    return namespace if is_seen else ""


def _workload(identity: Identity | None) -> str | None:
    """The resource that a pod belongs to, if it is known."""
    if isinstance(identity, Workload):
        return str(identity)
    return identity.owner if isinstance(identity, UnknownKind) else None


def _names(review: Review | None) -> _Names:
    """The uid, kind, namespace, name and dryRun of a request, each as one line."""
    if review is None:
        return UNSET, UNSET, UNSET, UNSET, UNSET
    request = review.request
    uid, kind, namespace, name = request.uid, request.kind.kind, request.namespace, request.name
    together = f"{uid}{kind}{namespace}{name}"
    if len(together) > LONGEST_NAME or not together.isprintable():
        uid, kind = one_line(uid, LONGEST_NAME), one_line(kind, LONGEST_NAME)
        namespace = namespace and one_line(namespace, LONGEST_NAME)
        name = name and one_line(name, LONGEST_NAME)
    return uid, kind, namespace, name, request.dry_run is True
