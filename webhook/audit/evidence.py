"""What can break when the containers of a running pod get other user ids, each finding with a fix to copy.

The findings and their texts are those of the rules `volume-ownership` and `sidecar`, as in a review of a running pod.
An audit adds what it knows of the storage, and the fix.

To keep the old user, set it in the securityContext of the resource. To change it, change the owner of the files while
the old pod still runs.
"""

from collections.abc import Mapping

from webhook.audit.fix_commands import ResourceOf
from webhook.audit.fixes import Copyable, copyable, fix_text, reported
from webhook.audit.report import AuditVerdict, ReportedFinding
from webhook.policy.findings import Fix
from webhook.policy.json_access import Raw, joined, laid_over, object_of, objects_of, texts_of
from webhook.policy.placed_fix import placed
from webhook.policy.rules.hardening import CHECK_IMAGE, hardened
from webhook.policy.rules.replaced_users import InheritedUser, changes_of, inherited_users
from webhook.policy.rules.root_permission import RESTRICTED_REFUSES
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


def evidence(
    pod: ReplacedPod, workload: Workload, resource_of: ResourceOf, restricted_since: int | None = None
) -> list[ReportedFinding]:
    """One finding for each volume that gets another user or group, and for each container that inherits a user.

    `restricted_since` is the Kubernetes 1.x minor version where the pod must pass `restricted`, None where it need not.
    """
    found = []
    for change in changes_of(pod):
        what = _fix(change, pod, workload, resource_of)
        text = one_line(change.text, _LONGEST)
        found.append(reported("volume-ownership", VERDICT[change.certainty], text, what))
    for each in inherited_users(pod):
        what = _own_user(each, pod, workload, resource_of, restricted_since)
        found.append(reported("sidecar", "CHECK", one_line(each.text, _LONGEST), what))
    return found


def _fix(change: OwnerChange, pod: ReplacedPod, workload: Workload, resource_of: ResourceOf) -> Copyable:
    """What to do about the data of one volume."""
    if change.certainty == "breaks" and change.user_before is not None:
        user = change.user_before
        context = {"runAsUser": user, "runAsNonRoot": user != ROOT, **_STRICT_APART_FROM_USER}
        kept = copyable(placed(Fix({"securityContext": context}), workload), resource_of)
        return Copyable(f"{kept.fix}{_chown(change, pod)}", kept.command)
    if change.effect == "first start" and change.user_before == ROOT:
        group = str(change.group_after)
        spares = command_in(pod.as_argument, change.container, "chgrp", "-R", group, "--", change.path)
        return Copyable(f"# to spare the first start: {spares}\n")
    return Copyable(check_command(pod.as_argument, change.container, change.path))


def _chown(change: OwnerChange, pod: ReplacedPod) -> str:
    """How to change the owner of the files, "" where the running user may not, or where the files are a node's."""
    if change.user_before != ROOT or change.volume.source == "hostPath":
        return ""
    user = str(change.user_after)
    command = command_in(pod.as_argument, change.container, "chown", "-R", user, "--", change.path)
    return f"# or change the owner, last thing: {command}\n"


def _own_user(
    inherited: InheritedUser, pod: ReplacedPod, workload: Workload, resource_of: ResourceOf, restricted: int | None
) -> Copyable:
    """How a container of the user's keeps its user, and passes `restricted` with it where it must and can."""
    user = inherited.before
    if user is None:
        look = command_in(pod.as_argument, inherited.container, "id", "-u")
        fix = fix_text(placed(_keeping("<the user that this prints>", {}, inherited, pod), workload))
        return Copyable(f"{look}\n{_commented(fix)}")
    context: Raw = {"runAsUser": user, "runAsNonRoot": user != ROOT}
    fields: Raw = {}
    if restricted is not None and user != ROOT:
        container = _container(inherited.container, pod)
        kept = laid_over(object_of(container.get("securityContext")), context)
        fields = hardened({**container, "securityContext": kept}, pod.admitted, restricted)
    return copyable(placed(_keeping(user, fields, inherited, pod), workload), resource_of)


def _keeping(user: int | str, fields: Raw, inherited: InheritedUser, pod: ReplacedPod) -> Fix:
    """The user of a container, beside other fields of it."""
    first = texts_of(objects_of(pod.admitted.get("initContainers")), "name")
    group = "initContainers" if inherited.container in first else "containers"
    own = joined(fields, {"securityContext": {"runAsUser": user, "runAsNonRoot": user != ROOT}})
    or_else = f"Where it works as user {inherited.after} too, write that user instead, and runAsNonRoot: true."
    notes = (RESTRICTED_REFUSES, or_else) if user == ROOT else (CHECK_IMAGE,) if fields else ()
    notes = notes if isinstance(user, int) else ("For user 0 write runAsNonRoot: false.",)
    return Fix({group: [{"name": inherited.container, **own}]}, notes=notes)


def _container(name: str, pod: ReplacedPod) -> Raw:
    """The container or init container of that name in the new pod, {} for none."""
    found = (*objects_of(pod.admitted.get("initContainers")), *objects_of(pod.admitted.get("containers")))
    return next((each for each in found if each.get("name") == name), {})


def _commented(text: str) -> str:
    """Lines as comments, for a person to complete."""
    return "".join(f"# {line.removeprefix('# ')}\n" for line in text.splitlines())
