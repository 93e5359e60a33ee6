"""What a container runs or writes that only root may. A part of `root-command`."""

import posixpath
import re
from collections.abc import Iterator, Mapping

from webhook.policy.json_access import Raw
from webhook.policy.rules.commands_run import command_lines, ignores_failure, said_removed, scripts

_ANY = re.compile(".+", re.DOTALL)
_INSTALLS = re.compile("add|install|upgrade|update|remove|del")
_PROGRAMS: Mapping[str, re.Pattern[str]] = {
    **dict.fromkeys(("apk", "apt", "apt-get", "yum", "dnf", "microdnf", "zypper", "tdnf"), _INSTALLS),
    "sysctl": re.compile(r"-w|--write|-p|--system|[\w./-]+=.*"),
    **dict.fromkeys(("mount", "umount", "modprobe", "swapoff", "blockdev", "chroot", "su-exec", "gosu"), _ANY),
    "ip": re.compile("add|del|delete|replace|change|set|flush"),
    **dict.fromkeys(("iptables", "ip6tables", "nft"), re.compile("-[ADIPNFXt]|--append|--insert|add|flush")),
    **dict.fromkeys(("adduser", "addgroup", "useradd", "usermod", "groupadd", "setcap"), _ANY),
    "update-ca-certificates": re.compile("(?s).*"),
}
"""The programs that only root may use to change something, and an argument that shows that they do."""

_NAMES = "|".join(map(re.escape, _PROGRAMS))
_IN_SCRIPT = re.compile(
    rf"""(?:^|[;&|(`\n]|(?:\b(?:then|do|else|exec|sudo|if)|!)[ \t]|\w=\S{{0,100}}[ \t])[ \t]{{0,20}}
    (?:[\w./-]{{0,100}}/)?({_NAMES})(?![\w./-])[ \t]{{0,20}}([^;&|\n)`]{{0,1000}})""",
    re.VERBOSE,
)
"""A program where a script names a command, and its arguments: `rclone mount` is no `mount`."""

_WRITES = re.compile(r"(?:>>?[ \t]{0,20}|\btee[ \t]{1,20}(?:-a[ \t]{1,20})?)[\"']?(/proc/sys/|/sys/)")


def done_as_root(container: Raw) -> str:
    """What a container does that only root may do, such as `runs sysctl`; "" for nothing."""
    lines = command_lines(container)
    if found := next((name for line in lines for name in _programs(line)), ""):
        return f"runs {found}"
    written = (match[1] for line in lines for script in scripts(line) for match in _WRITES.finditer(script))
    return next((f"writes to {path}" for path in written), "")


def _programs(line: list[str]) -> Iterator[str]:
    named = [(posixpath.basename(line[0]), line[1:])] if line else []
    matches = (match for script in scripts(line) for match in _IN_SCRIPT.finditer(said_removed(script)))
    named += [(match[1], match[2].split()) for match in matches]
    for name, arguments in named:
        pattern = _PROGRAMS.get(name)
        if pattern and any(pattern.fullmatch(each.strip("\"'")) for each in (*arguments, "")):
            yield name


def words(container: Raw) -> list[str]:
    """A script that does the same, without what else is in the container's own."""
    done = done_as_root(container)
    if not done:
        return []
    verb, _, what = done.partition(" ")
    script = f"{what} -w add -A x=1" if verb == "runs" else f": > {what}"
    return [script, *(["||"] if ignores_failure(container) else [])]
