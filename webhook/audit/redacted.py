"""A report without names: the same hash replaces each occurrence of a name that a user chose. Pure.

This module does not search for names. It lists what a report may show, and replaces everything else:

- a field that holds a name, always
- another value, unless it is one of Kubernetes' own
- a word of a text, unless vmguard's own texts have it

In a text, the place shows that a word is a name: in quotation marks or brackets, after a kind, or beside a slash. Such
a word is replaced although vmguard's own texts may have it.
"""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from webhook.audit.auditor import worst_first
from webhook.audit.own_values import (
    ADVISED,
    BARE,
    COMMANDS,
    KEYS,
    NAME_FOLLOWS,
    NAMING,
    NUMBERS,
    OF_REFUSALS,
    POINTED,
    QUOTED_FIELDS,
    ROOTS,
    VALUES,
    WELL_KNOWN,
)
from webhook.audit.own_words import ENDS, own_words, pairs_after
from webhook.audit.report import AuditReport

_LENGTH = 10


_WORD = r"[^\s'\"(){}\[\],;=<>]+"
_TOKEN = re.compile(
    rf"""(?<=\w)\[(?P<element>[^\]\n]*)\]|(?<!\w)(?P<quote>['"])(?P<quoted>.*?)(?P=quote)|(?P<word>{_WORD})"""
)
_NUMBER = re.compile(r"[-+]?\d+")


def redacted(report: AuditReport) -> AuditReport:
    """The report without names; workloads of the same verdict come in the order of their hashes."""
    found: AuditReport = msgspec.convert(_by_field(msgspec.to_builtins(report), _REPORT), AuditReport)
    return msgspec.structs.replace(found, workloads=sorted(found.workloads, key=worst_first))


def hashed(name: str) -> str:
    """The hash that replaces a name."""
    return f"x{sha256(name.encode(errors='replace')).hexdigest()[:_LENGTH]}" if name else ""


def without_names(text: str) -> str:
    """A text with a hash in place of each word that is not vmguard's own."""
    words, pairs = own_words(), pairs_after(NAME_FOLLOWS)
    before = ""

    def replaced(match: re.Match[str]) -> str:
        nonlocal before
        last, before = before, ""
        if match["element"] is not None:
            return f"[{_element(match['element'])}]"
        if match["quote"]:
            return f"{match['quote']}{_quoted(match['quoted'], last)}{match['quote']}"
        whole = match["word"]
        word = whole.rstrip(ENDS)
        end = whole[len(word) :]
        if last in NAME_FOLLOWS and (last, word) not in pairs and not (last == "user" and word.isdigit()):
            return f"{_name(word)}{end}"
        before = "" if end else word
        return f"{_word(word, words)}{end}"

    return _TOKEN.sub(replaced, text)


def _word(word: str, words: frozenset[str]) -> str:
    """A word of a text that stands where no name is expected."""
    if not word or word in words or word in WELL_KNOWN or _NUMBER.fullmatch(word) or not any(map(str.isalnum, word)):
        return word
    if word.startswith("/"):
        parts = [*word.split("/"), ""]
        return _pointer(word) if parts[1] == "spec" and parts[2] in POINTED else hashed(word)
    if "/" in word:
        return _name(word)
    parts = word.split(".")
    if len(parts) > 1 and (not parts[0] or parts[0] in ROOTS):
        return ".".join(part if not part or part in KEYS or part.isdigit() else hashed(part) for part in parts)
    flag = word.lstrip("-")
    return word if flag != word and flag in words else hashed(word)


def _pointer(text: str) -> str:
    """A JSON pointer: the fields and indices of a pod."""
    known = (part if not part or part in KEYS or part.isdigit() else hashed(part) for part in text.split("/"))
    return "/".join(known)


def _name(word: str) -> str:
    """A word that is a name, `NAMESPACE/NAME`, or `KIND/NAME`."""
    first, *rest = word.split("/")
    if rest and first[:1].isupper() and first in VALUES:
        return "/".join((first, *(hashed(each) for each in rest)))
    if word in WELL_KNOWN or (rest and word in own_words()):
        return word
    return "/".join(map(hashed, (first, *rest)))


def _element(text: str) -> str:
    """What stands in brackets after a field: the index or the name of an element."""
    return text if text.isdigit() or text in WELL_KNOWN else hashed(text)


def _quoted(text: str, before: str) -> str:
    if before in OF_REFUSALS:
        return text if text in OF_REFUSALS[before] else hashed(text)
    if text in WELL_KNOWN:
        return text
    return text if before not in NAME_FOLLOWS and (text in VALUES or text in QUOTED_FIELDS) else hashed(text)


def _yaml(text: str) -> str:
    """YAML with comments and commands: keys as words, and values as values."""
    return "".join(f"{_yaml_line(line)}\n" for line in text.splitlines())


def _diff(text: str) -> str:
    """The diff of YAML; a line starts with what becomes of it."""
    lines = text.splitlines()
    return "".join(
        f"{line}\n" if line.startswith(("@@", "--- ", "+++ ")) else f"{line[:1]}{_yaml_line(line[1:])}\n"
        for line in lines
    )


def _yaml_line(line: str) -> str:
    if line.startswith("#"):
        return _comment(line)
    if line.startswith(("kubectl ", "vmguard ")):
        return _command(line)
    if ADVISED.fullmatch(line):
        return line
    start = 0
    while line.startswith((" ", "- "), start):
        start += 1 if line[start] == " " else 2
    indent, rest = line[:start], line[start:]
    end = rest.find(rest[0], 1) + 1 if rest[:1] in {"'", '"'} else max(rest.find(": "), 0)
    if rest.endswith(":") and ": " not in rest[end:]:
        end = len(rest) - 1
    if not end or rest[end : end + 1] != ":":
        return f"{indent}{_scalar(rest)}"
    key, value = rest[:end], rest[end + 2 :]
    shown = value if key in NUMBERS and value.strip("'").isdigit() else _scalar(value, named=key in NAMING)
    return f"{indent}{_key(key)}:{f' {shown}' if value else ''}"


def _comment(line: str) -> str:
    """A comment, which may have a command behind a colon."""
    text, command, rest = line.partition("kubectl ")
    return without_names(text) + (_command(command + rest) if command else "")


def _command(line: str) -> str:
    command, comment, text = line.partition("  # ")
    words = command.split(" ")
    shown = (_word_of_command(words, index) for index in range(len(words)))
    return f"{' '.join(shown)}{comment}{without_names(text)}"


_NAMES_OF_PATCH = frozenset({2, 5})
"""Where `kubectl -n NAMESPACE patch KIND NAME …` has names."""


def _patch_command(text: str) -> str:
    """A command that patches a resource: its names, and the names in the patch."""
    if not text:
        return ""
    *words, payload = shlex.split(text)
    patch = json.loads(payload)
    shown = [_operation(each) for each in patch] if isinstance(patch, list) else _object(patch)
    kept = (hashed(word) if index in _NAMES_OF_PATCH else word for index, word in enumerate(words))
    return shlex.join((*kept, json.dumps(shown, separators=(",", ":"))))


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    """An operation of a JSON Patch for a resource."""
    path: str = operation["path"]
    shown = {
        "op": operation["op"],
        "path": "/".join(part if part == "-" else _pointer(part) for part in path.split("/")),
    }
    if "value" not in operation:
        return shown
    return {**shown, "value": next(iter(_object({path.rpartition("/")[2]: operation["value"]}).values()))}


def _word_of_command(words: list[str], index: int) -> str:
    """One word of a command; what stands where a name belongs may look like any word."""
    word, before = words[index], words[:index]
    last = before[-1:]
    named = last == ["-n"] or (last == ["-c"] and "--" not in before) or before[1:] == ["label", "namespace"]
    named = named or (before[-2:-1] == ["-n"] and words[1] == "exec")
    kept = word in WELL_KNOWN if named else word in COMMANDS or not word or word.isdigit()
    return word if kept else hashed(word)


def _key(text: str) -> str:
    """The name of a field, or the key of a label or an annotation that no user chose."""
    bare = text.strip("'\"")
    return text if bare in KEYS or ("/" in bare and bare in own_words()) else hashed(bare)


def _scalar(text: str, *, named: bool = False) -> str:
    if _NUMBER.fullmatch(text) or text in BARE:
        return text
    bare = text[1:-1] if text[:1] in {"'", '"'} and text[-1:] == text[:1] and len(text) > 1 else text
    shown = _value(bare, named=named)
    return text if shown == bare else shown


def _value(text: str, *, named: bool = False) -> str:
    """The text of a field: one of Kubernetes' own, or an argument with a flag that vmguard reads.

    With `named` it is that of a field for a name, which may look like any of them.
    """
    if text in WELL_KNOWN or (not named and text in VALUES):
        return text
    if named:
        return hashed(text)
    flag, equals, value = text.partition("=")
    if equals and flag.startswith("-") and flag.lstrip("-") in own_words():
        return f"{flag}={_value(value)}"
    return hashed(text)


def _object(value: Any, *, named: bool = False) -> Any:
    """A value of a pod, which may be an object or a list."""
    if isinstance(value, str):
        return _value(value, named=named)
    if isinstance(value, list):
        return [_object(each) for each in value]
    if isinstance(value, dict):
        return {
            _key(str(key)): each if key in NUMBERS and str(each).isdigit() else _object(each, named=key in NAMING)
            for key, each in value.items()
        }
    return value


def _plain(value: Any) -> Any:
    return value


def _kind(value: str) -> str:
    return value if value in VALUES | WELL_KNOWN else hashed(value)


_Redact = Callable[[Any], Any]

_FINDING: Mapping[str, _Redact] = {
    "id": _plain,
    "verdict": _plain,
    "text": without_names,
    "fix": _yaml,
    "command": _patch_command,
}
_CHANGE: Mapping[str, _Redact] = {
    **dict.fromkeys(("rule", "op"), _plain),
    **dict.fromkeys(("why", "source"), without_names),
    "path": _pointer,
    "value": _object,
}
_WORKLOAD: Mapping[str, _Redact] = {
    **dict.fromkeys(("cluster", "namespace", "name"), hashed),
    **dict.fromkeys(("kind", "component", "controller"), _kind),
    **dict.fromkeys(("pods", "levelNow", "levelAfter", "verdict", "basedOn"), _plain),
    **dict.fromkeys(("firstReason", "parent"), without_names),
    "changes": lambda value: [_by_field(each, _CHANGE) for each in value],
    "findings": lambda value: [_by_field(each, _FINDING) for each in value],
    "notRestricted": lambda value: [without_names(each) for each in value],
    "diff": _diff,
    "predicted": _object,
}
_CLUSTER: Mapping[str, _Redact] = {"name": hashed, "kubernetesVersion": _plain}
_MISSING: Mapping[str, _Redact] = {
    **dict.fromkeys(("cluster", "namespace"), hashed),
    "what": without_names,
    "rule": lambda value: value if ADVISED.fullmatch(value) else without_names(value),
}
_NOT_JUDGED: Mapping[str, _Redact] = {
    **dict.fromkeys(("cluster", "namespace"), hashed),
    "pods": _plain,
    "why": without_names,
}
_NAMESPACE: Mapping[str, _Redact] = {
    **dict.fromkeys(("cluster", "name"), hashed),
    **dict.fromkeys(("coverage", "pods", "couldEnforce"), _plain),
    "whyNotKnown": without_names,
}
_REPORT: Mapping[str, _Redact] = {
    **dict.fromkeys(("apiVersion", "kind", "createdAt", "vmguardVersion", "settings", "complete", "summary"), _plain),
    "clusters": lambda value: [_by_field(each, _CLUSTER) for each in value],
    "missing": lambda value: [_by_field(each, _MISSING) for each in value],
    "notJudged": lambda value: [_by_field(each, _NOT_JUDGED) for each in value],
    "workloads": lambda value: [_by_field(each, _WORKLOAD) for each in value],
    "namespaces": lambda value: [_by_field(each, _NAMESPACE) for each in value],
}
"""How each field of a report is redacted. A field without a row is an error, so that a new one is decided on."""


def _by_field(value: dict[str, Any], fields: Mapping[str, _Redact]) -> dict[str, Any]:
    return {field: fields[field](each) for field, each in value.items()}
