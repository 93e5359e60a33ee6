"""Report a decision: to the API server by the response, to people by log and metrics.

Pods of one template share their decision. What does not differ between them is encoded once and cached.
"""

from collections import Counter
from typing import Any

import msgspec

from webhook.admission.admission_review import Review, encode, prepare
from webhook.names import LONGEST_NAME
from webhook.policy.decide import Decision, Webhook
from webhook.policy.wording import MOST_TOLD, facts_line
from webhook.policy.workload import Link, Workload
from webhook.telemetry.log import Line, Log
from webhook.telemetry.metrics import Metrics
from webhook.text import one_line

_WARNED = frozenset({"denied", "unknown", "refused", "would-deny"})
_KEY = "told"

_LONGEST_TEXT = 500


class About(Line, frozen=True):
    """What a log line says of a request, as far as it could be read."""

    webhook: Webhook
    uid: str | msgspec.UnsetType = msgspec.UNSET
    kind: str | msgspec.UnsetType = msgspec.UNSET
    namespace: str | msgspec.UnsetType | None = msgspec.UNSET
    name: str | msgspec.UnsetType | None = msgspec.UNSET
    dry_run: bool | msgspec.UnsetType = msgspec.UNSET
    facts: str | msgspec.UnsetType = msgspec.UNSET
    milliseconds: float | msgspec.UnsetType = msgspec.UNSET


class _Told(msgspec.Struct, frozen=True):
    """What is told of one decision each time."""

    answer: bytes
    level: str
    log: bytes
    findings: tuple[tuple[tuple[str, str], int], ...]


class Reporter:
    """Reports the decisions of one server."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._log = log
        self._findings = metrics.tally(metrics.findings)
        self._lookups = metrics.tally(metrics.lookups)

    def report(
        self, webhook: Webhook, review: Review, decision: Decision, looked_up: tuple[Link, ...], seconds: float
    ) -> bytes:
        """Count and log a decision that took so many seconds; the answer to the review."""
        told: _Told = decision.__dict__.get(_KEY) or decision.__dict__.setdefault(_KEY, _told(decision))
        lookups = self._lookups
        for link in looked_up:
            fact = link.fact
            lookups[fact.result, fact.source] += 1
        for labels, count in told.findings:
            self._findings[labels] += count
        facts, milliseconds = facts_line(looked_up), int(seconds * 1e6) / 1000
        answer = encode(review, told.answer, facts)
        line = about(self._log.stamp(), told.level, "admission", webhook, review, facts, milliseconds)
        self._log.write_line(line, told.log)
        return answer


def about(
    time: str,
    level: str,
    message: str,
    webhook: Webhook,
    review: Review | None,
    facts: str | msgspec.UnsetType = msgspec.UNSET,
    milliseconds: float | msgspec.UnsetType = msgspec.UNSET,
) -> About:
    """What a log line says of a request."""
    if review is None:
        return About(time, level, message, webhook)
    asked = review.request
    uid, kind, namespace, name = asked.uid, asked.kind.kind, asked.namespace, asked.name
    together = f"{uid}{kind}{namespace}{name}"
    if len(together) > LONGEST_NAME or not together.isprintable():
        uid, kind = one_line(uid, LONGEST_NAME), one_line(kind, LONGEST_NAME)
        namespace = namespace and one_line(namespace, LONGEST_NAME)
        name = name and one_line(name, LONGEST_NAME)
    dry_run = asked.dry_run is True
    return About(time, level, message, webhook, uid, kind, namespace, name, dry_run, facts, milliseconds)


def _told(decision: Decision) -> _Told:
    prepared = prepare(
        allowed=decision.allowed,
        message=decision.message,
        patch=decision.patch,
        warnings=decision.warnings,
        annotations=decision.annotations,
    )
    identity = decision.identity
    fields: dict[str, Any] = {
        "outcome": decision.outcome,
        "workload": str(identity) if isinstance(identity, Workload) else None,
        "decision": decision.annotations.get("decision"),
        "rules": decision.annotations.get("rules"),
    }
    if decision.violations:
        fields["violations"] = [one_line(violation.why, _LONGEST_TEXT) for violation in decision.violations[:MOST_TOLD]]
    counts = Counter((finding.rule, type(finding).__name__.lower()) for finding in decision.findings)
    level = "warning" if decision.outcome in _WARNED else "info"
    return _Told(prepared, level, msgspec.json.encode(fields)[1:-1], tuple(counts.items()))
