"""Reports of audits, as tests and `docs/images` show them: `python -m tests.support.audit_reports FILE` writes one."""

import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from webhook import __version__
from webhook.audit.html_report import as_html
from webhook.audit.report import (
    VERDICTS,
    AuditedNamespace,
    AuditedWorkload,
    AuditReport,
    ClusterHeader,
    MissingPermission,
    NotJudged,
    ReportedFinding,
    Summary,
)
from webhook.offline.reply import PodChange

STRICT = {
    "spec.securityContext.runAsNonRoot": True,
    "spec.securityContext.runAsUser": 65534,
    "spec.securityContext.runAsGroup": 65534,
    "spec.securityContext.fsGroup": 65534,
    "spec.securityContext.fsGroupChangePolicy": "OnRootMismatch",
    "spec.securityContext.seccompProfile": {"type": "RuntimeDefault"},
    "spec.containers[0].securityContext.privileged": False,
    "spec.containers[0].securityContext.allowPrivilegeEscalation": False,
    "spec.containers[0].securityContext.readOnlyRootFilesystem": True,
    "spec.containers[0].securityContext.capabilities.drop": ["ALL"],
}
"""What vmguard fills in a pod with one container, by its path."""

RULE_TO_ADD = """- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list]
"""

_OWNERSHIP = (
    "claim {claim} ({driver}) was written as root, and the pods will run as 65534: {driver} ignores fsGroup, so the "
    "files stay unreadable"
)
_KEEP_ROOT = """spec:
  vmstorage:
    securityContext:
      runAsUser: 0
      runAsNonRoot: false
"""


def report(workloads: Iterable[AuditedWorkload], **fields: object) -> AuditReport:
    """A complete report of one cluster with these workloads; `fields` differ."""
    ordered = sorted(workloads, key=lambda each: (VERDICTS.index(each.verdict), each.namespace, each.kind, each.name))
    verdicts = {verdict: sum(each.verdict == verdict for each in ordered) for verdict in VERDICTS}
    whole = {
        "created_at": "2026-11-29T08:00:00Z",
        "vmguard_version": __version__,
        "clusters": [ClusterHeader("production", "v1.37.0")],
        "settings": {"VM_ENABLESTRICTSECURITY": "true", "VMGUARD_MODE": "enforce"},
        "complete": True,
        "missing": [],
        "not_judged": [],
        "workloads": ordered,
        "namespaces": [],
        "summary": Summary(sum(each.pods for each in ordered), len(ordered), verdicts),
    }
    return AuditReport(**{**whole, **fields})


def workload(title: str, verdict: str, levels: str = "baseline restricted", **fields: object) -> AuditedWorkload:
    """A workload from `NAMESPACE KIND/NAME COMPONENT`; it has changes and a diff if its verdict has."""
    namespace, resource, component = title.split()
    kind, _, name = resource.partition("/")
    now, after = levels.split()
    changed = verdict not in {"ok", "unknown"}
    whole = {
        "cluster": "production",
        "namespace": namespace,
        "kind": kind,
        "name": name,
        "component": component,
        "controller": "StatefulSet",
        "pods": 2,
        "level_now": now,
        "level_after": after,
        "verdict": verdict,
        "first_reason": "",
        "changes": changes() if changed else [],
        "diff": diff(component) if changed else "",
    }
    return AuditedWorkload(**{**whole, **fields})


def changes(source: str = "VM_ENABLESTRICTSECURITY") -> list[PodChange]:
    """The changes of strict security, and one volume that is removed."""
    why = "strict security fills what the pod leaves open"
    filled = [PodChange("security-context", "add", path, value, why, source) for path, value in STRICT.items()]
    token = "no container needs the API"
    return [*filled, PodChange("api-access", "remove", "spec.volumes[1]", None, token, "spec.serviceAccountName")]


def diff(container: str) -> str:
    """The diff of a pod that the changes above make."""
    return (
        f"--- as asked\n+++ as admitted\n@@ -20,9 +20,17 @@\n   - name: data\n-  - name: kube-api-access-v4d2b\n"
        f"   containers:\n   - name: {container}\n+    securityContext:\n+      privileged: false\n"
        "+      allowPrivilegeEscalation: false\n+      readOnlyRootFilesystem: true\n+      capabilities:\n"
        "+        drop:\n+        - ALL\n   securityContext:\n+    runAsNonRoot: true\n+    runAsUser: 65534\n"
    )


def sample_report() -> AuditReport:
    """An incomplete audit of a cluster with every verdict, long names and equal workloads."""
    refused = "image registry.example.com/platform/vmauth:v1.113.0 runs as root, but runAsNonRoot is true"
    written = _OWNERSHIP.format(claim="vmstorage-db-vmstorage-main-0", driver="nfs.csi.k8s.io")
    slow = "claim data-vlstorage-audit-0 (ebs.csi.aws.com): the first start changes ownership and may take long"
    unseen = "claim server-data (unknown driver): it is unknown which user wrote it"
    stat = "kubectl exec -n monitoring vmsingle-db-0 -- stat -c '%u:%g' /victoria-metrics-data"
    host = "spec.volumes[0].hostPath stays: only privileged allows a path of the node"
    long = "vmagent-of-the-payments-platform-team-in-the-europe-west-production-region"
    found = [
        workload(
            "monitoring VMAuth/gate vmauth",
            "DENIED",
            "baseline baseline",
            first_reason=refused,
            findings=[
                ReportedFinding(
                    "image-user",
                    "DENIED",
                    refused,
                    "spec:\n  securityContext:\n    runAsUser: 1000\n",
                    "kubectl -n monitoring patch vmauths.operator.victoriametrics.com gate --type merge -p"
                    ' \'{"spec":{"securityContext":{"runAsUser":1000}}}\'',
                )
            ],
            not_restricted=["spec.containers[0].securityContext.runAsUser is 0"],
        ),
        workload(
            "monitoring VMCluster/main vmstorage",
            "BREAKS",
            "privileged restricted",
            pods=3,
            first_reason=written,
            findings=[
                ReportedFinding("volume-ownership", "BREAKS", written, _KEEP_ROOT),
                ReportedFinding("backup", "CHECK", "the backup container writes to /backup, which is read-only then"),
            ],
        ),
        workload(
            "monitoring VMSingle/db vmsingle",
            "CHECK",
            pods=1,
            first_reason=unseen,
            findings=[ReportedFinding("volume-ownership", "CHECK", unseen, stat)],
        ),
        *(
            workload(
                f"logs VLCluster/{name} vlstorage",
                "CHECK",
                pods=3,
                first_reason=slow.replace("audit", name),
                findings=[ReportedFinding("volume-ownership", "CHECK", slow.replace("audit", name))],
            )
            for name in ("audit", "apps")
        ),
        workload(
            "logs VLAgent/node vlagent",
            "changes",
            "privileged privileged",
            pods=9,
            controller="DaemonSet",
            first_reason=host,
            not_restricted=[host],
        ),
        workload(f"payments VMAgent/{long} vmagent", "changes", pods=4, diff=diff("edge")),
        *(
            workload(f"{namespace} VMAgent/edge-{number} vmagent", "changes")
            for namespace, number in product(("monitoring", "payments", "tracing"), range(5))
        ),
        *(
            workload(f"payments VMAlert/{name} vmalert", "changes", changes=changes("VMAlert spec.useStrictSecurity"))
            for name in ("slo", "fraud")
        ),
        *(workload(f"tracing VTSingle/{name} vtsingle", "ok", "restricted restricted") for name in ("a", "b", "c")),
        workload(
            "monitoring VMAnomaly/forecast vmanomaly",
            "unknown",
            "baseline baseline",
            first_reason="webhook inject.example.com also changes this pod: add --verify",
            findings=[
                ReportedFinding(
                    "foreign-webhook", "unknown", "webhook inject.example.com also changes this pod: add --verify"
                )
            ],
        ),
    ]
    namespaces = [
        AuditedNamespace("production", "logs", "enforced", 15, "privileged"),
        AuditedNamespace("production", "monitoring", "enforced", 18, ""),
        AuditedNamespace("production", "payments", "enforced", 18, "restricted"),
        AuditedNamespace("production", "team-b", "enforced", 4, ""),
        AuditedNamespace("production", "tracing", "enforced", 16, "restricted"),
    ]
    return report(
        found,
        complete=False,
        missing=[MissingPermission("production", "team-b", "may not list replicasets", RULE_TO_ADD)],
        not_judged=[NotJudged("production", "team-b", 4, "may not list replicasets")],
        namespaces=namespaces,
    )


def large_report(count: int, *, equal: bool) -> AuditReport:
    """A report of many workloads, all of them equal, or no two with the same finding, changes or diff."""

    def numbered(number: int) -> AuditedWorkload:
        own = 0 if equal else number
        text = _OWNERSHIP.format(claim=f"data-{own}", driver="nfs.csi.k8s.io")
        return workload(
            f"team-{number % 100} VMAgent/edge-{number} vmagent",
            "BREAKS",
            first_reason=text,
            findings=[ReportedFinding("volume-ownership", "BREAKS", text, _KEEP_ROOT)],
            changes=changes(f"setting {own}"),
            diff=diff(f"container-{own}"),
        )

    return report(map(numbered, range(count)))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(as_html(sample_report()), encoding="utf-8")
