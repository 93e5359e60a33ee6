"""Evidence against the new users of a running pod's containers, each with a fix to copy.

What is found, and in which words, is that of the rules `volume-ownership` and `sidecar`, as in a review of a running
pod. An audit adds what it knows of the storage, and what to copy.

To keep the old user, set it in the securityContext of the resource. To change it, change the owner of the files while
the old pod still runs.
"""

from collections.abc import Mapping

from webhook.audit.fixes import fix_text
from webhook.audit.report import AuditVerdict, ReportedFinding
from webhook.policy.findings import Fix
from webhook.policy.json_access import Raw, objects_of, texts_of
from webhook.policy.placed_fix import placed
from webhook.policy.rules.replaced_users import InheritedUser, changes_of, inherited_users
from webhook.policy.rules.subject import ReplacedPod
from webhook.policy.volume_users import ROOT, Certainty, OwnerChange, check_command, command_in
from webhook.policy.workload import Workload
from webhook.text import one_line

VERDICT: Mapping[Certainty, AuditVerdict] = {"breaks": "BREAKS", "check": "CHECK", "works": "ok"}
"""What an effect on data means for a workload."""

_LONGEST = 400

_STRICT_APART_FROM_USER: Raw = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def evidence(pod: ReplacedPod, workload: Workload) -> list[ReportedFinding]:
    """One finding for each volume that gets another user or group, and for each container that inherits a user."""
    return [
        *(
            ReportedFinding(
                "volume-ownership", VERDICT[each.certainty], one_line(each.text, _LONGEST), _fix(each, pod, workload)
            )
            for each in changes_of(pod)
        ),
        *(
            ReportedFinding("sidecar", "CHECK", one_line(each.text, _LONGEST), _own_user(each, pod, workload))
            for each in inherited_users(pod)
        ),
    ]


def _fix(change: OwnerChange, pod: ReplacedPod, workload: Workload) -> str:
    """What to do about the data of one volume."""
    if change.certainty == "breaks" and change.user_before is not None:
        user = change.user_before
        context = {"runAsUser": user, "runAsNonRoot": user != ROOT, **_STRICT_APART_FROM_USER}
        return f"{fix_text(placed(Fix({'securityContext': context}), workload))}{_chown(change, pod)}"
    if change.effect == "first start" and change.user_before == ROOT:
        group = str(change.group_after)
        spares = command_in(pod.as_argument, change.container, "chgrp", "-R", group, "--", change.path)
        return f"# to spare the first start: {spares}\n"
    return check_command(pod.as_argument, change.container, change.path)


def _chown(change: OwnerChange, pod: ReplacedPod) -> str:
    """How to change the owner of the files, "" where the running user may not, or where the files are a node's."""
    if change.user_before != ROOT or change.volume.source == "hostPath":
        return ""
    user = str(change.user_after)
    command = command_in(pod.as_argument, change.container, "chown", "-R", user, "--", change.path)
    return f"# or change the owner, last thing: {command}\n"


def _own_user(inherited: InheritedUser, pod: ReplacedPod, workload: Workload) -> str:
    """How a container of the user's keeps its user."""
    user = inherited.before
    if user is None:
        look = command_in(pod.as_argument, inherited.container, "id", "-u")
        return f"{look}  # then set it as runAsUser of the container\n"
    context = {"runAsUser": user, "runAsNonRoot": user != ROOT}
    first = texts_of(objects_of(pod.admitted.get("initContainers")), "name")
    group = "initContainers" if inherited.container in first else "containers"
    fix = Fix({group: [{"name": inherited.container, "securityContext": context}]})
    return fix_text(placed(fix, workload))
