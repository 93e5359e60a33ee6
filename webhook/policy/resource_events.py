"""Events on the operator's resources: which pods cause one, on which resource, and with which text. Pure.

People who apply resources through Argo CD or Flux rarely see the warnings of an admission; an event is on the resource.
An object of the cluster must name the UID of this resource. A resource that only a pod names gets no event, because a
client of the webhook listener can send any pod.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from webhook.facts import Found, Ref, Unknown
from webhook.policy.custom_resources import GROUP
from webhook.policy.decide import Decision
from webhook.policy.enforcement import EXCLUDED, MODE_LABEL, MODE_VALUE, Coverage
from webhook.policy.findings import Change, Violation
from webhook.policy.wording import not_compliant, places_of
from webhook.policy.workload import Link, UnknownKind, Workload, unknown_resource_of
from webhook.text import one_line

EventReason = Literal["PodDenied", "PodNotJudged", "PodOfUnknownKind", "PodNotCompliant"]

REASONS: tuple[EventReason, ...] = get_args(EventReason)

REPORTED = frozenset({"denied", "refused"})
"""Outcomes of an admission that cause an event: the pod is not created."""

_LONGEST = 1000
"""Most characters of a text. In UTF-8 it can have four times as many bytes, which core/v1 allows."""

_LONGEST_LIST = 600
"""Most characters of the violations, so that the advice is not cut."""

_UNKNOWN = "unknown: "
"""The beginning of a decision's annotation if a fact is unknown."""

_FILLS = "vmguard fills new pods for which the API server calls it"
"""A survey does not know whether vmguard is registered, and which labels its entries select."""

_WHAT_HELPS: Mapping[Coverage, str] = {
    "enforced": _FILLS,
    "trial": f"the namespace is in a trial: with its label {MODE_LABEL}={MODE_VALUE} {_FILLS}",
    "excluded": f"vmguard is not called for pods of {EXCLUDED}",
    "exempt": "the namespace is exempt",
}


class ResourceEvent(msgspec.Struct, frozen=True):
    """An event on a resource, which has a UID; `text` is one line for a person.

    `is_admission` is true for a new pod, false for running pods.
    """

    resource: Ref
    reason: EventReason
    text: str
    is_admission: bool = False


def of_admission(decision: Decision, links: tuple[Link, ...]) -> ResourceEvent | None:
    """The event on the resource of a new pod that is not created, None if no resource is known.

    A client of the webhook listener can send a pod that no API server has validated. So the text repeats no value of
    the pod: it has the paths and rules, and the names of objects that vmguard found.
    """
    if decision.outcome == "denied":
        event = _event("PodDenied", links, "vmguard denied a new pod{of}", _why_denied(decision))
    else:
        why = decision.annotations["decision"].removeprefix(_UNKNOWN)
        event = _event("PodNotJudged", links, "vmguard could not judge a new pod{of}", why)
    return event and msgspec.structs.replace(event, is_admission=True)


def _why_denied(decision: Decision) -> str:
    if isinstance(decision.identity, UnknownKind):
        return f"{_not_known(decision.identity)}; update vmguard"
    denying = [violation for violation in decision.violations if violation.denies]
    return places_of(denying or decision.violations or decision.changes)


def _not_known(identity: UnknownKind) -> str:
    return f"this version of vmguard does not know how the operator makes the pods of {identity.owner}"


def of_running_pod(decision: Decision, links: tuple[Link, ...], where: Coverage) -> ResourceEvent | None:
    """The event on the resource of a running pod, None for a pod that complies and in an exempt namespace."""
    identity = decision.identity
    if where == "exempt":
        return None
    if isinstance(identity, UnknownKind):
        why = f"{_not_known(identity)}; update vmguard"
        return _event("PodOfUnknownKind", links, "running pods{of} are not secured", why)
    if decision.outcome == "unknown":
        why = decision.annotations["decision"].removeprefix(_UNKNOWN)
        return _event("PodNotJudged", links, "vmguard cannot judge a running pod{of}", why)
    left: list[Change | Violation] = [*decision.changes, *decision.violations]
    if not left or not isinstance(identity, Workload):
        return None
    helps = "they need a manual change" if decision.violations else _WHAT_HELPS[where]
    why = one_line(not_compliant(left), _LONGEST_LIST)
    return _event("PodNotCompliant", links, "running pods{of} are", f"{why}; {helps}", ends=" ")


def _event(
    reason: EventReason, links: tuple[Link, ...], what: str, why: str, *, ends: str = ": "
) -> ResourceEvent | None:
    """The event; `{of}` in `what` is replaced by the controller of the pods."""
    resource, controller = _owners(links)
    if resource is None:
        return None
    of = f" of {controller.kind} {controller.name}" if controller else ""
    return ResourceEvent(resource, reason, one_line(f"{what.replace('{of}', of)}{ends}{why}", _LONGEST))


def _owners(links: tuple[Link, ...]) -> tuple[Ref | None, Ref | None]:
    """The resource at the end of a pod's chain, None if its UID is unknown, and the controller that it owns.

    An unreadable resource counts if its controller was found. The controller names the UID, and the writer checks that
    the resource exists. If only the pod names the UID, a client may have invented the resource and its namespace.
    """
    chain: list[Link] = []
    for link in links:
        if link.ref.group not in {"apps", GROUP}:
            break
        chain.append(link)
        if link.ref.group == GROUP:
            controller = chain[-2].ref if len(chain) > 1 else None
            known = type(link.fact) is Found or (type(link.fact) is Unknown and controller is not None)
            return (link.ref, controller) if known else (None, None)
    return unknown_resource_of(tuple(chain)), chain[-1].ref if chain else None
