"""read-only-root: a path that an argument names, and that the component writes to, must be on a volume.

vmguard warns the person who applies a resource that changes such a path and mounts no writable volume there. Secret,
ConfigMap, downward API, projected and image volumes are not writable, and neither is a volume or a mount with
`readOnly: true`. A backup with a `destination` of `fs://` writes to that path too, which must be absolute.

Why: with a read-only root filesystem the component ends at its start. The operator mounts a volume of its own at the
default path only.

What to do: mount a volume at the path:

    storageDataPath: /data
    volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
    volumeMounts: [{name: data, mountPath: /data}]

For a backup, mount it with `vmBackup.volumeMounts`:

    volumes: [{name: backup, persistentVolumeClaim: {claimName: backup}}]
    vmBackup:
      destination: fs:///backup
      volumeMounts: [{name: backup, mountPath: /backup}]

Source: flags of VictoriaMetrics, VictoriaLogs, VictoriaTraces and Alertmanager that name what they write.
"""

import posixpath
import re
from typing import Any

from webhook.policy.components import DATA_FLAGS, OperatorContainer
from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.json_access import Raw, objects_of, within
from webhook.policy.posture import Posture
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import FlawedPod, PreviewedPod, arguments_of
from webhook.policy.volume_groups import read_only_volumes
from webhook.text import one_line

ID = "read-only-root"

_WRITES = DATA_FLAGS | {"fileCollector.checkpointsPath", "kubernetesCollector.checkpointsPath", "tlsAutocertCacheDir"}
"""Flags whose value is a file or folder that is written."""

_DESTINATION = "dst"
"""The flag of a backup that names where it goes."""

_LOCAL = "fs://"
"""What a destination of a backup begins with that is a folder."""

_EXPANDED = ("%{", "$(")
"""What a path begins with that VictoriaMetrics or the kubelet fills in."""

_LONGEST_PATH = 4095
_LONGEST_NAME = 50
_LONGEST_SHOWN = 200
_NEVER_WRITABLE = ("secret", "configMap", "downwardAPI", "projected")


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the operator's containers of one pod."""
    findings: list[Finding] = []
    spec = pod.pod["spec"]
    names = {v.get("name") for v in spec["volumes"]}
    fixed = {v.get("name") for v in spec["volumes"] if any(v.get(kind) is not None for kind in _NEVER_WRITABLE)}
    fixed |= read_only_volumes(spec)
    for container in (*spec["containers"], *spec["initContainers"]):
        if container["name"] not in posture.component.containers:
            continue
        if (container.get("securityContext") or {}).get("readOnlyRootFilesystem") is not True:
            continue
        mounts = container.get("volumeMounts") or []
        usable = [m for m in mounts if not m.get("readOnly") and m.get("name") in names - fixed]
        writable = {_path(m.get("mountPath")) for m in usable}
        for argument in container.get("args") or ():
            flag, _, value = str(argument).lstrip("-").partition("=")
            if flag == _DESTINATION and value.startswith(_LOCAL):
                value = value.removeprefix(_LOCAL)
                if value.startswith(_EXPANDED):
                    continue
                if value and not value.startswith("/"):
                    findings.append(_relative(str(container["name"]), value))
                    continue
            elif flag not in _WRITES:
                continue
            if not 0 < len(value) <= _LONGEST_PATH:
                continue
            path = _path(value)
            if _is_within(path, writable):
                continue
            text = f"container {container['name']!r} writes to {path} ({flag}), its root filesystem is read-only and"
            text = f"{text} no writable volume is mounted there: add one with volumes and"
            about = (str(container["name"]), path)
            findings.append(Warn(ID, f"{text} {_mounts_of(container, posture)}", about=about, fatal=True))
    return findings


def _relative(container: str, folder: str) -> Warn:
    """The finding on a destination whose folder is no absolute path: the backup program ends at its start."""
    wrong, right = (f"{_LOCAL}{root}{folder}" for root in ("", "/"))
    shown = one_line(wrong, _LONGEST_SHOWN)
    text = f"container {container!r} exits at its start: {shown} ({_DESTINATION}) is not an absolute path. Write"
    return Warn(ID, f"{text} {one_line(right, _LONGEST_SHOWN)}", about=(container, right), fatal=True)


def _mounts_of(container: Raw, posture: Posture) -> str:
    """The field of the resource that mounts volumes in a container of the operator."""
    settings = next((each.settings for each in posture.component.beside if each.name == container["name"]), ())
    return ".".join((*settings, "volumeMounts"))


def _is_within(path: str, folders: set[str]) -> bool:
    """Whether one of the folders is the path or above it."""
    while path not in folders:
        if path in {"/", "//"}:
            return False
        path = posixpath.dirname(path)
    return True


def _path(value: Any) -> str:
    """A path as the container sees it; images of VictoriaMetrics start in the root folder."""
    return posixpath.normpath(posixpath.join("/", str(value or "")))


def words(container: dict[str, Any]) -> list[str]:
    """The arguments that name what is written."""
    found = arguments_of(container)
    return [
        each for each in found if _flag_of(each) in _WRITES or each.lstrip("-").startswith(f"{_DESTINATION}={_LOCAL}")
    ]


def _flag_of(argument: str) -> str:
    return argument.lstrip("-").partition("=")[0]


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """A volume at the path, mounted in the container."""
    container, path = finding.about if isinstance(finding, Warn) else ("", "/")
    row = next((each for each in pod.posture.component.beside if each.name == container), None)
    if path.startswith(_LOCAL):
        return _absolute(row, path)
    name = pod.unused(
        f"written-{re.sub('[^a-z0-9]+', '-', path.lower()).strip('-') or 'files'}"[:_LONGEST_NAME].strip("-")
    )
    mount: Raw = {"name": name, "mountPath": path}
    there = objects_of(pod.container(container).get("volumeMounts"))
    if any(each.get("mountPath") == path and each.get("readOnly") for each in there):
        mount["readOnly"] = False
    mounts: Raw = {"volumeMounts": [mount]}
    if row and row.mounts_data:
        mounts = within(row.settings, mounts)
    elif row:
        mounts = pod.of_container(container, mounts)
    keep = "emptyDir loses the files with the pod. To keep them, write persistentVolumeClaim: {claimName: <a claim>}"
    return Fix({"volumes": [{"name": name, "emptyDir": {}}], **mounts}, notes=(keep,))


def _absolute(row: OperatorContainer | None, destination: str) -> Fix:
    """The destination with an absolute path, in the field that sets the flag."""
    field = dict(row.flags).get(_DESTINATION) if row else None
    if row is None or field is None:
        return Fix(notes=(f"Write {_DESTINATION}: {destination}",))
    *outer, last = (*row.settings, *field)
    volumes = ".".join((*row.settings, "volumeMounts"))
    note = f"The container writes there: mount a volume with {volumes}."
    return Fix(within(outer, {last: destination}), notes=(note,))


RULE = Rule(id=ID, order=70, text=__doc__, fix=fix, preview=check, words=words)
