"""volume-ownership: a container that is not root must be able to read and write the files on its volumes.

When the kubelet mounts a volume it changes the group of every file to `fsGroup`, and gives the group access; the owner
of a file stays. It does not do so for hostPath and NFS, nor for CSI drivers with `fsGroupPolicy: None`. With
`fsGroupChangePolicy: OnRootMismatch` it does so only while the volume's root folder has another group. For millions of
files the first start takes a long time.

Why: a pod that runs as another user than the one that wrote the files may not be able to use them. An audit, `vmguard
review` of a running pod, and the warning at an update of a resource judge that by the table below. An audit
reports `breaks` as BREAKS and `check` as CHECK.

An audit knows the storage: it reads the claim, its PersistentVolume and the CSI driver. A review and an update know it
of volumes that the pod itself names, such as hostPath and NFS. The user is what the status of a running container
reports (Kubernetes 1.33 and newer), else that of the spec, else that of the image. The images of VictoriaMetrics run as
root. With VMGUARD_RUN_AS=platform the platform chooses the user, and vmguard does not guess it.

vmguard also warns the person who applies a resource:

- a container without root may write to a hostPath or NFS volume: the owner of the files must let it. Do not chown
  files of the node's system, such as /etc, /var/log or a socket: mount them with `readOnly: true`. A user of another
  group can use a socket if `supplementalGroups` has the socket's group
- a new resource's own securityContext names a user without fsGroup, and the pod has a claim: root owns most new
  volumes, so the user may not be able to write
- a log collector or another container that is not root reads the logs of the node: root owns them. Root also owns the
  data of a log collector on the node. A group in `supplementalGroups` may have access to the logs

What to do: see who owns the data. The command of a warning shows it. An image from scratch has no `stat`: use `kubectl
debug` there. If the kubelet cannot give the files to the group, chown them before the user changes, in a pod that runs
as root:

    initContainers:
    - name: chown
      image: busybox
      command: [chown, -R, "65534:65534", /vm-data]
      volumeMounts: [{name: vmstorage-db, mountPath: /vm-data}]
      securityContext: {runAsUser: 0, runAsNonRoot: false}

vmguard reports nothing where such an init container gives the whole volume to the new user, by number and as root.
A namespace that enforces Pod Security `baseline` or no level admits that pod, and `restricted` refuses it. Or keep the
user. This keeps root:

    securityContext: {runAsUser: 0, runAsNonRoot: false}
"""

from collections.abc import Iterator, Mapping

from webhook.policy.conditions import text_at, value_at
from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.json_access import Raw, object_of, objects_of, texts_of
from webhook.policy.posture import Posture
from webhook.policy.rules.owner_changers import gives, is_within
from webhook.policy.rules.replaced_users import changes_of, unsolved
from webhook.policy.rules.root_permission import AS_ROOT, RESTRICTED_REFUSES, ROOT_CONTEXT
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import THIS_POD, FlawedPod, PreviewedPod, ReplacedPod
from webhook.policy.volume_groups import group_in_pod, read_only_volumes
from webhook.policy.volume_users import (
    EFFECTS,
    KEEP_OWNER,
    ROOT,
    OwnerChange,
    check_command,
    owner_changes,
    user_in_words,
    user_of,
)

ID = "volume-ownership"

_LOGS = ("/var/log", "/var/lib/docker/containers", "/run/log/journal")
"""Folders of a node with logs. Root owns them, and few groups may read them."""

_AS_ROOT = "remove runAsUser and runAsNonRoot from securityContext"

_FILLED = {
    "volume": "VOLUME",
    "verb": "written",
    "before": "root",
    "after": "65534",
    "group": "65534",
    "lost": "65534",
    "other": "user 65534",
}
"""What stands in the texts of the table in place of what a pod has."""


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the volumes of one pod."""
    spec = pod.pod["spec"]
    changes: tuple[OwnerChange, ...] = ()
    if pod.earlier:
        changes = owner_changes(pod.earlier, spec, pod.image_users, by_platform=pod.run_as_platform)
        changes = unsolved(changes, spec)
    findings: list[Finding] = [_warning(each, THIS_POD) for each in changes]
    changed = {each.volume.name for each in changes}
    findings += _unheeding(spec, pod.image_users, posture, changed)
    if pod.is_new and posture.security_context == "custom" and not pod.run_as_platform:
        findings += _without_group(spec, pod.image_users)
    findings += _node_files(spec, pod.image_users, posture)
    return [*findings, *_node_logs(spec, pod.image_users, posture)]


def check_replaced(pod: ReplacedPod) -> list[Warn]:
    """Findings for the volumes of a running pod that is to be created again."""
    return [_warning(each, pod.as_argument) for each in changes_of(pod)]


def _warning(change: OwnerChange, pod: str) -> Warn:
    advice = f": {change.advice}" if change.advice else ""
    return Warn(ID, f"{change.text}{advice}. Check: {check_command(pod, change.container, change.path)}")


def effects_table() -> list[str]:
    """The lines of a Markdown table, one for each effect."""
    lines = ["| effect | certainty | text | what to do |", "|---|---|---|---|"]
    for effect, each in EFFECTS.items():
        text, advice = (part.format(**_FILLED, container="NAME") for part in (each.text, each.advice))
        lines.append(f"| {effect} | {each.certainty} | {text} | {advice} |")
    return lines


def _unheeding(spec: Raw, images: Mapping[str, int | None], posture: Posture, changed: set[str]) -> Iterator[Warn]:
    """Volumes that fsGroup never reaches and that a container without root may write to."""
    daemonset = posture.component.daemonset
    data_path = daemonset.data_path if daemonset else ""
    written = _written_without_root(spec, images)
    for volume in spec["volumes"]:
        name = str(volume.get("name"))
        group = group_in_pod(volume)
        if not group or group.handling != "ignored" or group.name in changed or name not in written:
            continue
        container, user, mounted_at = written[name]
        if user is not None and gives(spec, name, user):
            continue
        text = f"{group.shown}: container {container!r} is not root"
        path = object_of(volume.get("hostPath")).get("path")
        if data_path and path == data_path:
            yield Warn(ID, f"{text} and cannot write to {path}, which root owns: {_AS_ROOT}", about=("root",))
        elif group.of_node:
            yield Warn(ID, f"{text}; {KEEP_OWNER}", about=("node", container, mounted_at))
        else:
            owner = "" if user is None else f": chown them to {user}"
            text = f"{text} and can write there only if the owner of the files lets it{owner}"
            yield Warn(ID, text, about=("owner", name, mounted_at, str(user)))


def _without_group(spec: Raw, images: Mapping[str, int | None]) -> Iterator[Warn]:
    """The claims of a new pod that a container without root writes to, where the pod has no fsGroup."""
    if value_at(spec, ("securityContext", "fsGroup")) is not None:
        return
    written = _written_without_root(spec, images)
    for volume in spec["volumes"]:
        group = group_in_pod(volume)
        container, user, _ = written.get(str(volume.get("name")), ("", None, ""))
        if user is None or not group or group.handling == "ignored" or gives(spec, str(volume.get("name")), user):
            continue
        text = f"{group.shown}: container {container!r} runs as {user_in_words(user)} without fsGroup, so it may not be"
        yield Warn(ID, f"{text} able to write there: set fsGroup: {user}", about=("group", str(user)))


def _node_files(spec: Raw, images: Mapping[str, int | None], posture: Posture) -> Iterator[Warn]:
    """The files of the node that a component reads as root, where it is another user."""
    mode = posture.component.daemonset
    if not mode or not mode.runs_as_root:
        return
    container = next(each for each in spec["containers"] if each["name"] == posture.component.main)
    paths = {volume.get("name"): object_of(volume.get("hostPath")).get("path") for volume in spec["volumes"]}
    mounted = {paths.get(mount.get("name")) for mount in objects_of(container.get("volumeMounts"))}
    read = [each.path for each in mode.reads if each.path in mounted]
    if read and _is_not_root(container, spec, images):
        user = user_of(container, spec, images)
        who = f"{user_in_words(user)}" if user is not None else "another user than root"
        text = f"container {container['name']!r} runs as {who} and cannot read the logs of the node in"
        yield Warn(ID, f"{text} {' and '.join(read)}, which root owns: {_AS_ROOT}", about=("root",))


def _node_logs(spec: Raw, images: Mapping[str, int | None], posture: Posture) -> Iterator[Warn]:
    """The logs of the node that a container reads without root and without a group of its own choice."""
    if value_at(spec, ("securityContext", "supplementalGroups")):
        return
    mode = posture.component.daemonset
    reported = {each.path for each in mode.reads} if mode and mode.runs_as_root else set()
    of_node = ((str(volume.get("name")), text_at(volume, ("hostPath", "path"))) for volume in spec["volumes"])
    paths = {name: path for name, path in of_node if _has_logs(path)}
    for container in (*spec["initContainers"], *spec["containers"]):
        if not _is_not_root(container, spec, images):
            continue
        mounts = [each for each in objects_of(container.get("volumeMounts")) if each.get("readOnly") is True]
        mounted = texts_of(mounts, "name")
        read = {path for volume, path in paths.items() if volume in mounted}
        if read := read - reported if container["name"] == posture.component.main else read:
            user = user_of(container, spec, images)
            who = user_in_words(user) if user is not None else "another user than root"
            text = f"container {container['name']!r} runs as {who} and may not be able to read the logs of the node in"
            about = ("reader", str(container["name"]))
            yield Warn(ID, f"{text} {' and '.join(sorted(read))}, which root owns: give it {ROOT_CONTEXT}", about=about)


def _has_logs(path: str) -> bool:
    """Whether a folder of the node is one with logs, or within one."""
    return any(is_within(f"/{path.lstrip('/')}", each) for each in _LOGS)


def _written_without_root(spec: Raw, images: Mapping[str, int | None]) -> dict[str, tuple[str, int | None, str]]:
    """The first container that may write to a volume and does not run as root, by the volume's name.

    With it come its user, None where that is not known, and where it mounts the volume.
    """
    found: dict[str, tuple[str, int | None, str]] = {}
    never_written = read_only_volumes(spec)
    for container in (*spec["initContainers"], *spec["containers"]):
        if _is_not_root(container, spec, images):
            for mount in objects_of(container.get("volumeMounts")):
                if not mount.get("readOnly") and mount.get("name") not in never_written:
                    user = user_of(container, spec, images)
                    path = str(mount.get("mountPath"))
                    found.setdefault(str(mount.get("name")), (str(container["name"]), user, path))
    return found


def _is_not_root(container: Raw, spec: Raw, images: Mapping[str, int | None]) -> bool:
    """Whether a container surely does not run as root."""
    context = {**object_of(spec.get("securityContext")), **object_of(container.get("securityContext"))}
    if context.get("runAsUser") is None and context.get("runAsNonRoot") is True:
        return True
    return user_of(container, spec, images) not in {ROOT, None}


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """An init container that gives the files to the user, or root for a component that reads those of the node.

    An audit has other fixes for the data of running pods.
    """
    kind, *names = finding.about if isinstance(finding, Warn) and finding.about else ("",)
    if kind == "root":
        return Fix({"securityContext": {"runAsUser": None, "runAsNonRoot": None}})
    if kind == "reader":
        return Fix(pod.of_container(names[0], {"securityContext": AS_ROOT}), notes=(RESTRICTED_REFUSES,))
    if kind == "group":
        return Fix({"securityContext": {"fsGroup": int(names[0])}})
    if kind == "node":
        container, path = names
        return Fix(notes=(f"Mount {path} in container {container!r} with readOnly: true, or <a user that may write>",))
    if kind != "owner":
        return Fix()
    volume, path, user = names
    if not user.isdecimal():
        return Fix(notes=(f"chown the files on volume {volume} to <the user of the container's image>",))
    chown = {
        "name": "chown",
        "image": "busybox",
        "command": ["chown", "-R", f"{user}:{user}", path],
        "volumeMounts": [{"name": volume, "mountPath": path}],
        "securityContext": AS_ROOT,
    }
    return Fix({"initContainers": [chown]}, notes=(RESTRICTED_REFUSES,))


RULE = Rule(
    id=ID,
    order=80,
    text=__doc__,
    fix=fix,
    table=effects_table,
    preview=check,
    replaced_pod=check_replaced,
    new_pods_only=True,
)
