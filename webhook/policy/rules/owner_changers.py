"""Containers that change the owner or the mode of files, and whether they may. A part of `file-owner`.

Only root may give a file to another user, and only with the capability CHOWN; only the owner of a file or root with
FOWNER may change its mode. A container of the user takes the user of its pod, so in a strict pod it is not root.
"""

import posixpath
import re
from collections.abc import Iterator

from webhook.policy.conditions import value_at
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.rules.commands_run import calls, command_line, ignores_failure, pattern_of, texts
from webhook.policy.token_volume import TOKEN_PATH
from webhook.policy.volume_users import ROOT, lacks, user_of

_CAPABILITY = {"chown": "CHOWN", "chgrp": "CHOWN", "install": "CHOWN", "chmod": "FOWNER", "setfacl": "FOWNER"}
"""The capability that each tool needs for the files of others."""

_IN_SCRIPT = pattern_of(_CAPABILITY)
_OWNER_OPTION = re.compile(r"-[a-zA-Z]*[og]|--(?:owner|group)")
_OWNER = re.compile(r"[0-9]{1,10}(?::[0-9]{0,10})?")
_RECURSIVE = re.compile(r"-[a-zA-Z]*R[a-zA-Z]*|--recursive")
RESTRICTED_REFUSES = 'A namespace that enforces "restricted" refuses a pod with this container.'
_FIX = "securityContext: {runAsUser: 0, runAsNonRoot: false}"


def tool_of(container: Raw) -> str:
    """The tool by which a container changes owners or modes of files that others may own, "" for none.

    A change of mode counts where it is one of a mounted volume.
    """
    words = command_line(container)
    mounts = [str(mount.get("mountPath")) for mount in objects_of(container.get("volumeMounts"))]
    if words[:1] in (["chown"], ["chgrp"]):
        return words[0]
    return next((tool for tool, arguments in calls(words, _IN_SCRIPT) if _counts(tool, arguments, mounts)), "")


def words(container: Raw) -> list[str]:
    """A command line that runs the same tool on a mounted volume, without what else is in the container's own."""
    tool = tool_of(container)
    if not tool:
        return []
    owner, given = _given(container)
    mounts = [str(each.get("mountPath")) for each in objects_of(container.get("volumeMounts"))]
    # The path of the token would be a sign of a client of the Kubernetes API.
    mount = next((each for each in mounts if TOKEN_PATH not in each), mounts[0] if tool == "chmod" else "/")
    ignored = ["||"] if ignores_failure(container) else []
    return [tool, "-R", "-o", *([owner, *given] if given else [mount]), *ignored]


def gives(spec: Raw, volume: str, user: int) -> bool:
    """Whether an init container surely gives all files of a volume to a user before the other containers start."""
    for container in objects_of(spec.get("initContainers")):
        if user_of(container, spec, {}) != ROOT or _fault(container, spec, "chown"):
            continue
        owner, given = _given(container)
        for mount in objects_of(container.get("volumeMounts")):
            is_volume = mount.get("name") == volume and mount.get("readOnly") is not True
            if is_volume and owner.partition(":")[0] == str(user) and str(mount.get("mountPath")) in given:
                return True
    return False


def _given(container: Raw) -> tuple[str, list[str]]:
    """The owner that a container gives files to by `chown -R`, as a number, and the mounts that it changes whole."""
    mounts = [str(mount.get("mountPath")) for mount in objects_of(container.get("volumeMounts"))]
    for tool, arguments in calls(command_line(container), _IN_SCRIPT):
        owner, *paths = [each.strip("\"'") for each in arguments if not each.startswith("-")] or [""]
        if tool != "chown" or not _OWNER.fullmatch(owner) or not any(map(_RECURSIVE.fullmatch, arguments)):
            continue
        roots = [posixpath.normpath(each) for each in paths if each.startswith("/")]
        return owner, [each for each in mounts if any(_is_within(each, root) for root in roots)]
    return "", []


def _is_within(path: str, root: str) -> bool:
    path = posixpath.normpath(path)
    return path == root or path.startswith(f"{root.rstrip('/')}/")


def faults(spec: Raw) -> Iterator[tuple[str, str, bool]]:
    """Name and text for each container of a pod's spec that changes owners or modes and is not permitted to.

    The last is whether it surely does not start. Else that depends on the files: the kernel lets everyone "change" a
    file to the owner or mode of his own (`chown_ok` in fs/attr.c), and a script may go on after a failure.
    """
    for group, what in (("initContainers", "init container"), ("containers", "container")):
        for container in spec[group]:
            tool = tool_of(container)
            if tool and (fault := _fault(container, spec, tool)):
                why, fix = fault
                refused = "kubelet" in why
                ends = "" if refused else _ends(container, group)
                yield str(container["name"]), f"{what} {container['name']!r} runs {tool} {why}{ends}. {fix}", refused


def permitting(container: Raw, spec: Raw) -> Raw:
    """The fields of a container's security context that permit its tool."""
    context = {**object_of(spec.get("securityContext")), **object_of(container.get("securityContext"))}
    needed = _CAPABILITY[tool_of(container)]
    fields: Raw = {"runAsUser": ROOT, "runAsNonRoot": False}
    if lacks(context, needed):
        added = [*texts(value_at(context, ("capabilities", "add"))), needed]
        fields["capabilities"] = {"add": added}
    return fields


def _fault(container: Raw, spec: Raw, tool: str) -> tuple[str, str] | None:
    """Why a container may not use the tool, and what to do; None where it may, or where its user is not known."""
    context = {**object_of(spec.get("securityContext")), **object_of(container.get("securityContext"))}
    user, non_root = user_of(container, spec, {}), context.get("runAsNonRoot") is True
    if user is None and not non_root:
        return None
    if user != ROOT:
        who = "another user than root" if user is None else f"user {user}"
        return f"as {who}", f"Give it {_FIX}"
    if non_root:
        return "as root, but runAsNonRoot is true: the kubelet will not start it", "Give it runAsNonRoot: false too"
    needed = _CAPABILITY[tool]
    if lacks(context, needed):
        return f"without the capability {needed}", f"Give it capabilities: {{add: [{needed}]}}"
    return None


def _ends(container: Raw, group: str) -> str:
    """What becomes of the pod."""
    if ignores_failure(container):
        return ": it changes no file that has another owner"
    end = " and the pod may not start" if group == "initContainers" else ""
    return f": if a file has another owner, it fails{end}"


def _counts(tool: str, arguments: list[str], mounts: list[str]) -> bool:
    if tool == "install":
        return any(_OWNER_OPTION.match(each) for each in arguments)
    if _CAPABILITY[tool] == "CHOWN":
        return bool(arguments)
    recursive = any(_RECURSIVE.fullmatch(each) for each in arguments)
    paths = [posixpath.normpath(each.strip("\"'")) for each in arguments if not each.startswith("-")]
    return any(
        path == mount or (recursive and path.startswith(f"{mount}/"))
        for path in paths
        for mount in (posixpath.normpath(each) for each in mounts)
    )
