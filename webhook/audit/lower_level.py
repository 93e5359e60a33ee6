"""What vmguard fills that gives a pod a lower Pod Security level than it has now. Pure.

Strict security never does; a property test says so. A resource's own securityContext may, where a pod from before
it lacks a field that it sets, such as `privileged: true`.
"""

import jsonpatch
import msgspec

from webhook.admission.patch import build
from webhook.podsecurity import Verdict, evaluate
from webhook.policy.decide import Decision
from webhook.policy.findings import Fix
from webhook.policy.json_access import Raw
from webhook.policy.rules.wanted_context import nested

ID = "pod-security"

_MOST = 3
_CONTEXT = "/securityContext/"


def lower_level(decision: Decision, created: Raw, now: Verdict, after: Verdict, minor: int) -> tuple[str, Fix] | None:
    """Text and fix for a pod whose level gets lower by the changes of a decision; None for any other.

    `created` is the raw pod that is decided on, `now` and `after` are the verdicts on it as it runs and as it will be.
    """
    if after.level >= now.level:
        return None
    new = [str(each) for each in after.reasons if each not in now.reasons] or [str(each) for each in after.reasons]
    more = f"; and {len(new) - _MOST} more" if len(new) > _MOST else ""
    text = f"Pod Security level {now.level} now, {after.level} afterwards: {'; '.join(new[:_MOST])}{more}"
    fields: Raw = {}
    for name in dict.fromkeys(each.edit.path.partition(_CONTEXT)[2] for each in decision.changes):
        if name and evaluate(_with_field(name, decision, created), minor).level < now.level:
            fields[name] = None
    notes = ("The resource sets it, and the running pod does not have it yet. Or lower what its namespace enforces.",)
    return text, Fix({"securityContext": nested(fields)} if fields else {}, notes=notes)


def _with_field(name: str, decision: Decision, created: Raw) -> Raw:
    """The pod with one field of all that a decision fills, wherever it fills it."""
    edits = build(each.edit for each in decision.changes if each.edit.path.partition(_CONTEXT)[2] == name)
    pod: Raw = jsonpatch.apply_patch(created, msgspec.to_builtins(edits))
    return pod
