"""The shape of an audit's report, which is also its JSON; `docs/schema/audit.json` is made from these types.

Fields are only ever added. Nothing here holds a value of an environment variable, a Secret, or an annotation that
vmguard does not read. Pure data.
"""

from typing import Any, Literal

import msgspec

from webhook.offline.reply import LevelName, PodChange

API_VERSION = "vmguard.io/v1"
KIND = "Audit"

AuditVerdict = Literal["DENIED", "BREAKS", "CHECK", "changes", "ok", "unknown"]

RowBasis = Literal["pods", "template", "resource"]

VERDICTS: tuple[AuditVerdict, ...] = ("DENIED", "BREAKS", "CHECK", "changes", "ok", "unknown")
"""All verdicts, the worst first. `unknown` is never counted as ok."""

MEANING: dict[AuditVerdict, str] = {
    "DENIED": "vmguard would deny the pod or its resource",
    "BREAKS": "there is evidence that it stops working",
    "CHECK": "it may break; the finding says what to look at",
    "changes": "vmguard changes the pod, and nothing shows that the change breaks it",
    "ok": "vmguard changes nothing",
    "unknown": "it cannot be judged; the finding says why",
}
"""What each verdict means, for people."""


class ClusterHeader(msgspec.Struct, frozen=True, rename="camel"):
    """One cluster; `name` is the context, or the file that the objects are from."""

    name: str
    kubernetes_version: str


class MissingPermission(msgspec.Struct, frozen=True, rename="camel"):
    """What could not be read and why, and the rule of a Role that would allow it, "" where none would."""

    cluster: str
    namespace: str
    what: str
    rule: str = ""


class ReportedFinding(msgspec.Struct, frozen=True, rename="camel"):
    """Evidence for a verdict. `id` is what `vmguard explain` takes, `fix` is YAML or a command to copy, "" for none.

    `command` changes the resource in the cluster as the YAML of `fix` says, "" where no command can.
    """

    id: str
    verdict: AuditVerdict
    text: str
    fix: str = ""
    command: str = ""


class AuditedWorkload(msgspec.Struct, frozen=True, rename="camel"):
    """One component of one resource: what its pods are now, and what they would be.

    `pods` is how many run, 0 for pods that the resource will have. Levels, changes, findings and diff are those of the
    worst of the pods; the levels are the lowest of all. `not_restricted` are the reasons why the pods are not
    restricted afterwards. `predicted` is one of the pods as it would be stored, as far as an audit reads pods, None
    where none runs. `based_on` is what the row is made from: running pods, the pod template of the controller (the next
    pod will be made from it), or the resource where there is no controller yet.
    """

    cluster: str
    namespace: str
    kind: str
    name: str
    component: str
    controller: str
    pods: int
    level_now: LevelName
    level_after: LevelName
    verdict: AuditVerdict
    first_reason: str
    changes: list[PodChange] = []
    findings: list[ReportedFinding] = []
    not_restricted: list[str] = []
    diff: str = ""
    predicted: dict[str, Any] | None = None
    parent: str = ""
    based_on: RowBasis = "pods"

    @property
    def title(self) -> str:
        """`VMCluster/main vmstorage`, and the controller where it is a DaemonSet."""
        own = "" if self.component == self.kind.lower() else f" {self.component}"
        daemonset = " (DaemonSet)" if self.controller == "DaemonSet" else ""
        return f"{self.kind}/{self.name}{own}{daemonset}"


class AuditedNamespace(msgspec.Struct, frozen=True, rename="camel"):
    """One namespace, its coverage by vmguard, and the level that all its pods would reach, "" if not known.

    `coverage` is "unknown" where the labels of the namespace are not known. `why_not_known` is why not all of its pods
    were seen, "" where they were.
    """

    cluster: str
    name: str
    coverage: str
    pods: int
    could_enforce: Literal["", "privileged", "baseline", "restricted"] = ""
    why_not_known: str = ""


class NotJudged(msgspec.Struct, frozen=True, rename="camel"):
    """Pods of a namespace that could not be judged, and why the first of them could not."""

    cluster: str
    namespace: str
    pods: int
    why: str


class Summary(msgspec.Struct, frozen=True, rename="camel"):
    """Numbers of pods and workloads, and workloads by verdict."""

    pods: int
    workloads: int
    verdicts: dict[AuditVerdict, int]


class AuditReport(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A whole report. Workloads are in the order of their verdicts, the worst first, then by name.

    `complete` is False where something could not be read or judged. `created_at` is the only part that differs between
    two runs over an unchanged cluster.
    """

    api_version: str = API_VERSION
    kind: str = KIND
    created_at: str
    vmguard_version: str
    clusters: list[ClusterHeader]
    settings: dict[str, str]
    complete: bool
    missing: list[MissingPermission]
    not_judged: list[NotJudged]
    workloads: list[AuditedWorkload]
    namespaces: list[AuditedNamespace]
    summary: Summary
