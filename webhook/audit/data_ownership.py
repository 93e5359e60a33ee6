"""data-ownership: files that a pod wrote as one user, and that it will need as another user.

An audit compares the user of each container now with the user that it will have. For each volume whose files
outlive the pod it looks at what the kubelet does with fsGroup. Where fsGroup is ignored (NFS, hostPath, a CSI driver
with fsGroupPolicy None) the new user cannot write files of the old one: BREAKS. Where it is applied, the kubelet gives
the files to the group at the first start, which may take long: CHECK. Where one of these is not known: CHECK, with a
command that shows the owner of the files.

The user of a running container is what its status reports (Kubernetes 1.33 and newer), else its spec, else that of the
image. The images of VictoriaMetrics run as root.

To keep the old user, set it in the securityContext of the resource. To change it, change the owner of the files while
the old pod still runs.
"""

import shlex

from webhook.audit.recreated_pod import RecreatedPod, new_users
from webhook.audit.report import VERDICTS, AuditVerdict, ReportedFinding
from webhook.audit.storage import Storage, VolumeGroup
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.volume_users import ROOT, user_in_words
from webhook.policy.workload import Workload
from webhook.text import one_line, printable

ID = "data-ownership"

_LONGEST = 400


def check(change: RecreatedPod, storage: Storage) -> list[ReportedFinding]:
    """One finding for each volume whose files get a new user: the worst of its mounts."""
    found: dict[str, ReportedFinding] = {}
    volumes = {str(each.get("name")): each for each in objects_of(change.now["spec"].get("volumes"))}
    for container, before, after in new_users(change):
        for mount in objects_of(container.get("volumeMounts")):
            name = str(mount.get("name"))
            if name not in volumes:
                continue
            group = storage.group_of(change.namespace, volumes[name], _shown(name, change.name, volumes[name]))
            finding = group and _finding(change, container, mount, group, before, after)
            known = found.get(name)
            if finding and (known is None or VERDICTS.index(finding.verdict) < VERDICTS.index(known.verdict)):
                found[name] = finding
    return list(found.values())


def _shown(volume: str, pod: str, source: Raw) -> str:
    """The name of a claim; one that a StatefulSet makes for each pod has the name of its template."""
    claim = object_of(source.get("persistentVolumeClaim")).get("claimName")
    return volume if claim == f"{volume}-{pod}" else ""


def _finding(
    change: RecreatedPod, container: Raw, mount: Raw, group: VolumeGroup, before: int | None, after: int
) -> ReportedFinding | None:
    path, name = str(mount.get("mountPath")), str(container.get("name"))
    now, then = (object_of(pod["spec"].get("securityContext")) for pod in (change.now, change.after))
    look = command(change, name, "stat", "-c", "%u:%g %a %n", "--", path)
    written = "used" if mount.get("readOnly") else "written"

    def found(verdict: AuditVerdict, text: str, fix: str = look) -> ReportedFinding:
        return ReportedFinding(ID, verdict, one_line(text, _LONGEST), fix)

    if before is None:
        text = f"{group.shown} will be used as user {after}; which user container {name!r} has now is not known"
        return found("CHECK", text)
    text = f"{group.shown} was {written} as {user_in_words(before)}, pods will run as {after}"
    if mount.get("readOnly"):
        return found("CHECK", f"{text}: they may not be able to read it")
    if group.handling == "unknown":
        return found("CHECK", f"{text}; whether the kubelet gives the files to fsGroup is not known")
    if group.handling == "applied" and then.get("fsGroup") is not None:
        if now.get("fsGroup") == then["fsGroup"]:
            return found("CHECK", f"{text}: the group stays, so files that it may not write stay so")
        chgrp = command(change, name, "chgrp", "-R", str(then["fsGroup"]), "--", path)
        text = f"{text}: the first start changes ownership and may take long"
        return found("CHECK", text, f"# to spare the first start: {chgrp}\n" if before == ROOT else look)
    if group.handling == "applied":
        text = f"{text}, and no fsGroup is set"
    return found("BREAKS", text, _keep_user(change, before, _chown(change, name, path, group, before, after)))


def _chown(change: RecreatedPod, name: str, path: str, group: VolumeGroup, before: int, after: int) -> str:
    """How to change the owner of the files, "" where the running user may not, or where the files are a node's."""
    if before != ROOT or "(hostPath" in group.shown:
        return ""
    return f"# or change the owner, last thing: {command(change, name, 'chown', '-R', str(after), '--', path)}\n"


def command(change: RecreatedPod, container: str, *command: str) -> str:
    """A command line in the running container; names and paths are a tenant's text, so each word is quoted."""
    place = ("kubectl", "exec", "-n", change.namespace, change.name, "-c", container, "--")
    return printable(shlex.join((*place, *command)))


_STRICT_APART_FROM_USER: Raw = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _keep_user(change: RecreatedPod, before: int, otherwise: str) -> str:
    """How to keep the old user; `otherwise` is another way."""
    context = {"runAsUser": before, "runAsNonRoot": before != ROOT, **_STRICT_APART_FROM_USER}
    return f"{resource_yaml(change.workload, {'securityContext': context})}{otherwise}"


def resource_yaml(workload: Workload, fields: Raw) -> str:
    """Fields of a component's part as YAML of its resource, with a comment that names the resource."""
    from webhook.yaml_output import as_yaml  # noqa: PLC0415 - `vmguard explain` needs the text of this module alone

    for field in reversed(workload.component.path):
        fields = {field: fields}
    parent = workload.parentage.parent
    note = _comment(f"set it in {parent}: the operator overwrites {workload}") if parent else ""
    return f"{_comment(str(workload))}{note}{as_yaml(fields)}"


def _comment(text: str) -> str:
    return f"# {one_line(text, _LONGEST)}\n"
