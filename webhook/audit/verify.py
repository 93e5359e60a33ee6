"""Asks the API server by a dry run what its own chain of admission makes of a predicted pod.

The predicted pod is created with `dryRun=All` under a generated name, so nothing is stored and no running pod is in the
way.
"""

from typing import Any

import jsonpatch
import msgspec

from webhook.audit.admission_chain import ASK, ID, WEBHOOKS, right
from webhook.audit.report import AuditVerdict, ReportedFinding
from webhook.audit.trimmed import trimmed_pod
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import PODS
from webhook.cluster.permission import advised_rule, answered
from webhook.cluster.status import reason
from webhook.policy.decide import Decision
from webhook.policy.json_access import Raw, object_of
from webhook.text import one_line

_SECONDS = 30.0
_LONGEST = 500
_MOST_NAMED = 5
_PREFIX = "vmguard-audit-"
_DROPPED = frozenset({"nodeName", "ephemeralContainers"})
_COMPARED = ("initContainers", "containers", "securityContext", "volumes", "automountServiceAccountToken")


class Verifier:
    """Creates predicted pods as dry runs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def check(self, namespace: str, pod: Raw, decision: Decision) -> list[ReportedFinding]:
        """What the API server says of a running pod, created again with the changes of a decision."""
        spec = {field: value for field, value in object_of(pod.get("spec")).items() if field not in _DROPPED}
        created = {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(pod), "spec": spec}
        predicted: Raw = jsonpatch.apply_patch(created, msgspec.to_builtins(decision.patch))
        try:
            code, body = await self._client.dry_run(PODS, namespace, predicted, _SECONDS)
        except UnreachableError as error:
            return [ReportedFinding(ID, "unknown", f"the dry run got no answer: {error}", ASK)]
        if code == 403 and (rule := advised_rule(answered("create", PODS, namespace, code, body))):
            return [
                ReportedFinding(
                    ID,
                    "unknown",
                    f"your account may not create pods in this namespace, so there was no dry run; rule to add: {rule}",
                    right("", "pods", "create"),
                )
            ]
        if code not in {200, 201}:
            quota = b"exceeded quota" in body
            verdict: AuditVerdict = "CHECK" if quota else "DENIED" if code in {400, 403, 422} else "unknown"
            text = one_line(f"the API server refuses the predicted pod: {reason(code, body)}", _LONGEST)
            fix = "# Correct <what the message names>: it is that of the API server or of an admission plugin.\n"
            return [ReportedFinding(ID, verdict, text, fix)]
        return _differences(trimmed_pod(predicted), trimmed_pod(msgspec.json.decode(body)))


def _metadata(pod: Raw) -> Raw:
    metadata = object_of(pod.get("metadata"))
    kept: Raw = {field: metadata[field] for field in ("labels", "annotations", "ownerReferences") if field in metadata}
    return {**kept, "generateName": _PREFIX}


def _differences(predicted: Raw, stored: Raw) -> list[ReportedFinding]:
    """A finding where the API server would store something else than was predicted."""
    before = {field: predicted["spec"].get(field) for field in _COMPARED}
    after = {field: stored["spec"].get(field) for field in _COMPARED}
    operations: list[dict[str, Any]] = jsonpatch.make_patch(before, after).patch
    if not operations:
        return []
    places = list(dict.fromkeys(f"/spec{each['path']}" for each in operations))
    more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
    listed = ", ".join(places[:_MOST_NAMED])
    text = f"the API server would store another pod than the predicted one: {listed}{more} differ"
    return [ReportedFinding(ID, "CHECK", one_line(text, _LONGEST), WEBHOOKS)]
