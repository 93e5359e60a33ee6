"""What a container runs or writes that only root may. A part of `root-command`."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from webhook.policy.json_access import Raw
from webhook.policy.rules.commands_run import Call, command_lines, commands, ignores_failure, run, texts


class RootProgram(msgspec.Struct, frozen=True):
    """A program that only root may use, if an argument matches; with `alone` it needs no argument.

    `capability` is what root needs for it. With `changes_root` it writes to the container's own file system.
    """

    argument: re.Pattern[str]
    capability: str = ""
    changes_root: bool = False
    alone: bool = False


_ANY = re.compile(r"[^-].*", re.DOTALL)
_ANYTHING = re.compile(r".+", re.DOTALL)

_INSTALLER = RootProgram(
    re.compile("add|autoremove|del|dist-upgrade|install|purge|remove|update|upgrade"), "CHOWN", changes_root=True
)
_PACKAGE = RootProgram(re.compile("-[iUe][a-z]*|--install|--upgrade|--erase"), "CHOWN", changes_root=True)
_ACCOUNT = RootProgram(_ANY, changes_root=True)
_CERTIFICATES = RootProgram(_ANYTHING, changes_root=True, alone=True)
_PACKET_FILTER = RootProgram(re.compile("-[ADIPNFXt]|--append|--insert|--flush|add|delete|flush"), "NET_ADMIN")
_SWAP = RootProgram(_ANYTHING, "SYS_ADMIN")
_MODULE = RootProgram(_ANY, "SYS_MODULE")
_OTHER_USER = RootProgram(_ANY, "SETUID")

PROGRAMS: Mapping[str, RootProgram] = {
    **dict.fromkeys(("apk", "apt", "apt-get", "yum", "dnf", "microdnf", "zypper", "tdnf"), _INSTALLER),
    **dict.fromkeys(("dpkg", "rpm"), _PACKAGE),
    **dict.fromkeys(("adduser", "addgroup", "useradd", "usermod", "groupadd"), _ACCOUNT),
    **dict.fromkeys(("update-ca-certificates", "update-ca-trust"), _CERTIFICATES),
    **dict.fromkeys(("iptables", "ip6tables", "nft"), _PACKET_FILTER),
    **dict.fromkeys(("iptables-restore", "ip6tables-restore"), RootProgram(_ANYTHING, "NET_ADMIN", alone=True)),
    **dict.fromkeys(("swapoff", "swapon"), _SWAP),
    **dict.fromkeys(("modprobe", "insmod"), _MODULE),
    **dict.fromkeys(("su-exec", "gosu"), _OTHER_USER),
    "blockdev": RootProgram(re.compile("--set.*"), "SYS_ADMIN"),
    "chroot": RootProgram(_ANY, "SYS_CHROOT"),
    "ip": RootProgram(re.compile("add|change|del|delete|flush|replace|set"), "NET_ADMIN"),
    "mount": RootProgram(re.compile("-a|--all|[^-].*", re.DOTALL), "SYS_ADMIN"),
    "nsenter": RootProgram(_ANYTHING, "SYS_ADMIN"),
    "setcap": RootProgram(_ANY, "SETFCAP", changes_root=True),
    "sysctl": RootProgram(re.compile(r"-w|--write|-p|--load.*|--system|\w[\w./-]*=.*", re.DOTALL)),
    "umount": RootProgram(_ANYTHING, "SYS_ADMIN"),
}
"""The programs that only root may use to change something."""

_SUBCOMMANDS = frozenset({"mount", "umount", "ip"})
"""Programs that have the name of a command of others, such as `rclone mount`."""

_KERNEL = re.compile(r"(/proc/sys/|/sys/).*|.*(/kernel/mm/).*", re.DOTALL)
"""Files of the kernel, also where the node's /sys is mounted elsewhere."""

_FILES = RootProgram(_ANYTHING)
_HINTS = (*PROGRAMS, "/sys/", "/kernel/mm/")
_ASKS_FOR_USER = re.compile(r"\bid\b[^;&|\n]{0,20}-[a-z]*u|\bwhoami\b|\$\{?E?UID\b")
"""A script that looks which user it has, and may run the program as root only."""


class RootAction(msgspec.Struct, frozen=True):
    """What a container does that only root may do, in words such as `runs sysctl`."""

    text: str
    by: RootProgram


def done_as_root(container: Raw) -> RootAction | None:
    """The first that a container does, None for nothing."""
    lines = command_lines(container)
    if any(_ASKS_FOR_USER.search(word) for line in lines for word in line):
        return None
    alone = () if texts(container.get("command")) else _SUBCOMMANDS  # the program is that of the image
    found = (done for line in lines for done in _in_line(line, alone))
    return next(found, None)


def _in_line(line: list[str], skipped: frozenset[str] | tuple[()]) -> Iterator[RootAction]:
    yield from (RootAction(f"runs {each.program}", PROGRAMS[each.program]) for each in _root_calls(line, skipped))
    for command in commands(line, _HINTS):
        yield from (RootAction(f"runs {each.program}", PROGRAMS[each.program]) for each in _root_calls(command.words))
        files = [*command.targets, *(command.words[1:] if command.words[:1] == ("tee",) else ())]
        matches = (match for each in files if (match := _KERNEL.fullmatch(each)))
        yield from (RootAction(f"writes to {match[1] or match[2]}", _FILES) for match in matches)


def _root_calls(words: list[str] | tuple[str, ...], skipped: frozenset[str] | tuple[()] = ()) -> Iterator[Call]:
    for call in run(tuple(words), PROGRAMS):
        row = PROGRAMS[call.program]
        if (row.alone or any(map(row.argument.fullmatch, call.arguments))) and call.program not in skipped:
            yield call


def words(container: Raw) -> list[str]:
    """A script that does the same, without what else is in the container's own."""
    done = done_as_root(container)
    if not done:
        return []
    verb, _, what = done.text.partition(" ")
    script = f"{what} add -i --set -w -A a=1" if verb == "runs" else f": > {what}"
    return [script, *(["||"] if ignores_failure(container) else [])]
