"""Reports what one round of the reconciler wrote, removed and left undone: a metric, log lines, and events.

A trouble belongs to a resource. The metric shows the troubles of the last round. The log and an event on the resource
report each trouble once, until it ends. This module never writes what the reconciler manages.
"""

from collections import Counter
from typing import Literal

import msgspec

from webhook.cluster.client import Client
from webhook.cluster.object_events import write_event
from webhook.cluster.refusal import EndingError, RefusedError
from webhook.facts import Ref
from webhook.leader.psp_objects import Custom, Refused
from webhook.policy.custom_resources import GROUP
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics
from webhook.text import one_line

MOST_NAMED = 20
"""Removals of one round that have a log line of their own."""

MOST_NEW = 20
"""New troubles of one namespace that one round reports; a later round reports the others."""

_LONGEST = 1000
"""Characters of a trouble's text: a resource can name a policy or a ServiceAccount of any length."""

TroubleReason = Literal["not-bindable", "not-ours", "failed"]
"""The metric's label `reason`."""

_EVENTS: dict[str, str] = {"not-bindable": "PolicyNotBindable", "not-ours": "PolicyNotOurs", "failed": "PolicyFailed"}


class Trouble(msgspec.Struct, frozen=True):
    """Why the pods of one resource may not use a policy yet; `text` is for a person."""

    owner: Custom
    reason: TroubleReason
    text: str


class PolicyStatus:
    """The report of the current round. `begin` starts a round, `publish` ends it."""

    def __init__(self, client: Client, log: Log, metrics: Metrics) -> None:
        self._client = client
        self._log = log
        self._gauge = metrics.policy_troubles
        self._reported: set[tuple[str, str]] = set()
        self._troubles: list[Trouble] = []
        self._writes: Counter[str] = Counter()

    @property
    def has_written(self) -> bool:
        """Whether this round wrote, removed, or failed to remove an object."""
        return bool(self._writes)

    def begin(self) -> None:
        """Forget what the last round did."""
        self._writes, self._troubles = Counter(), []

    def clear(self) -> None:
        """Forget everything: another process leads now, or none."""
        self._gauge.clear()
        self._reported.clear()

    def trouble(self, owner: Custom, reason: TroubleReason, text: str) -> None:
        self._troubles.append(Trouble(owner, reason, one_line(text, _LONGEST)))

    def refused(self, refused: Refused) -> None:
        """A policy that a resource needs and vmguard may not bind."""
        self.trouble(refused.custom, refused.reason, _why(refused))

    def written(self) -> None:
        """One object was created or changed."""
        self._writes["written"] += 1

    def removed(self, what: str) -> None:
        """One object was removed; `what` names it."""
        self._writes["removed"] += 1
        if self._writes["removed"] <= MOST_NAMED:
            self._log.write("info", "default policy removed", resource=what)

    def not_removed(self, what: str, why: str) -> None:
        self._writes["failed"] += 1
        if self._writes["failed"] <= MOST_NAMED:
            self.failed(f"{what}: {why}")

    def failed(self, why: str) -> None:
        self._log.write("warning", "default policies failed", reason=why)

    async def publish(self, resources: int) -> None:
        """Set the metric, and report each new trouble in the log and by an event; `resources` is how many there are."""
        self._show()
        before, self._reported = self._reported, set()
        new: Counter[str] = Counter()
        for trouble in self._troubles:
            key, namespace = _key(trouble), trouble.owner.namespace
            if key not in before and key not in self._reported:
                new[namespace] += 1
                if new[namespace] > MOST_NEW:
                    continue
                self._log.write("warning", "policy not bound", resource=str(trouble.owner), reason=trouble.text)
                await self._write_event(trouble)
            self._reported.add(key)
        if self._writes:
            self._log.write("info", "default policies", resources=resources, **self._writes)

    def _show(self) -> None:
        """One resource counts once for each reason, however many of its objects have that trouble."""
        self._gauge.clear()
        resources = {(each.owner.uid, each.owner.namespace, each.reason) for each in self._troubles}
        for (namespace, reason), count in Counter((namespace, reason) for _, namespace, reason in resources).items():
            self._gauge.labels(namespace, reason).set(count)

    async def _write_event(self, trouble: Trouble) -> None:
        owner = trouble.owner
        about = Ref(GROUP, owner.version, owner.kind, owner.namespace, owner.name, owner.uid)
        try:
            await write_event(self._client, about, _EVENTS[trouble.reason], trouble.text)
        except EndingError:
            return  # the namespace is being deleted, and the resource with it
        except RefusedError as error:
            self._log.write("warning", "event not written", resource=str(owner), reason=str(error))


def _key(trouble: Trouble) -> tuple[str, str]:
    return trouble.owner.uid, trouble.text


def _why(refused: Refused) -> str:
    who, policy = refused.custom, refused.policy
    if refused.reason == "not-bindable":
        return (
            f"{who} names PodSecurityPolicy {policy!r}, which vmguard may not bind: add it to VMGUARD_PSP_BINDABLE, "
            f"or let ServiceAccount {who.account} use it by a RoleBinding of your own"
        )
    return (
        f"vmguard did not create PodSecurityPolicy {policy!r}, so it does not change it and does not bind {who} to it; "
        "delete it, or add it to VMGUARD_PSP_BINDABLE"
    )
