"""Containers that change the owner or the mode of files, and whether they may. A part of `file-owner`.

Only root may give a file to another user, and only with the capability CHOWN; only the owner of a file or root with
FOWNER may change its mode. A container of the user takes the user of its pod, so in a strict pod it is not root.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import chain

from webhook.policy.json_access import Raw, objects_of
from webhook.policy.rules.commands_run import Call, calls, command_lines, ignores_failure
from webhook.policy.rules.root_permission import root_fault
from webhook.policy.token_volume import TOKEN_PATH
from webhook.policy.volume_users import ROOT, user_of

_CAPABILITY = {"chown": "CHOWN", "chgrp": "CHOWN", "install": "CHOWN", "chmod": "FOWNER", "setfacl": "FOWNER"}
"""The capability that each tool needs for the files of others."""

_OWNER_OPTION = re.compile(r"-[a-zA-Z]*[og]|--(?:owner|group)")
_OWNER = re.compile(r"[0-9]{1,10}(?::[0-9]{0,10})?")
_RECURSIVE = re.compile(r"-[a-zA-Z]*R[a-zA-Z]*|--recursive")


def tool_of(container: Raw) -> str:
    """The tool by which a container changes owners or modes of files that others may own, "" for none.

    A change of mode counts where it is one of a mounted volume.
    """
    mounts = [str(mount.get("mountPath")) for mount in objects_of(container.get("volumeMounts"))]
    alone = (line[0] for line in command_lines(container) if line[:1] in (["chown"], ["chgrp"]))
    counted = (each.program for each in _calls(container) if _counts(each.program, each.arguments, mounts))
    return next(chain(alone, counted), "")


def _calls(container: Raw) -> Iterator[Call]:
    return (call for line in command_lines(container) for call in calls(line, _CAPABILITY))


def capability_of(container: Raw) -> str:
    """The capability that its tool needs."""
    return _CAPABILITY[tool_of(container)]


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
        if user_of(container, spec, {}) != ROOT or root_fault(container, spec, _CAPABILITY["chown"]):
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
    for tool, arguments in _calls(container):
        owner, *paths = [each for each in arguments if not each.startswith("-")] or [""]
        if tool != "chown" or not _OWNER.fullmatch(owner) or not any(map(_RECURSIVE.fullmatch, arguments)):
            continue
        roots = [posixpath.normpath(each) for each in paths if each.startswith("/")]
        return owner, [each for each in mounts if any(is_within(each, root) for root in roots)]
    return "", []


def is_within(path: str, root: str) -> bool:
    """Whether a path is a folder, or within it."""
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
            if tool and (fault := root_fault(container, spec, _CAPABILITY[tool])):
                why, fix = fault
                refused = "kubelet" in why
                ends = "" if refused else _ends(container, group)
                yield str(container["name"]), f"{what} {container['name']!r} runs {tool} {why}{ends}. {fix}", refused


def _ends(container: Raw, group: str) -> str:
    """What becomes of the pod."""
    if ignores_failure(container):
        return ": it changes no file that has another owner"
    end = " and the pod may not start" if group == "initContainers" else ""
    return f": if a file has another owner, it fails{end}"


def _counts(tool: str, arguments: Sequence[str], mounts: list[str]) -> bool:
    if tool == "install":
        return any(_OWNER_OPTION.match(each) for each in arguments)
    if _CAPABILITY[tool] == "CHOWN":
        return bool(arguments)
    recursive = any(_RECURSIVE.fullmatch(each) for each in arguments)
    paths = [posixpath.normpath(each) for each in arguments if not each.startswith("-")]
    return any(
        path == mount or (recursive and path.startswith(f"{mount}/"))
        for path in paths
        for mount in (posixpath.normpath(each) for each in mounts)
    )
